"""DICOM headers: which series, which place in it; any other bytes are a finding and no crash."""

from __future__ import annotations

import logging
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.media.dicom import HEAD_BYTES, SeriesPlace, UnreadableHeader, read_place
from tests.unit.dicom_files import dicom_file

PATIENT = "Canary^Patient"


def place_of(data: bytes) -> SeriesPlace:
    return read_place(lambda most: data[:most])


def test_a_slice():
    data = dicom_file(number=7, position=(1, 2, 3.5), orientation=(1, 0, 0, 0, 1, 0))
    assert place_of(data) == SeriesPlace(
        "1.2.3", "1.2.3.4", "1.2.3.4.7", 7, "1.000 0.000 0.000 0.000 1.000 0.000", 3.5
    )


@pytest.mark.parametrize(
    ("position", "orientation", "along"),
    [
        ((0, 0, 5), (1, 0, 0, 0, 1, 0), 5),
        ((0, 0, 5), (0, 1, 0, 1, 0, 0), -5),
        ((7, 0, 0), (0, 1, 0, 0, 0, 1), 7),
        (None, (1, 0, 0, 0, 1, 0), None),
        ((0, 0, 5), None, None),
    ],
)
def test_the_position_along_the_normal(position, orientation, along):
    place = place_of(dicom_file(position=position, orientation=orientation))
    assert place.along_normal_mm == along
    assert (place.orientation is None) == (along is None)


def test_a_file_without_number_or_instance_is_still_of_its_series():
    place = place_of(dicom_file(number=None, instance_uid=None))
    assert (place.series_uid, place.instance_uid, place.instance_number) == ("1.2.3.4", "", None)


def test_a_header_behind_a_long_sequence_is_read_on():
    data = dicom_file(number=3, padding=HEAD_BYTES[0])
    asked = []

    def read_head(most: int) -> bytes:
        asked.append(most)
        return data[:most]

    assert read_place(read_head).instance_number == 3
    assert asked == list(HEAD_BYTES)


def test_the_first_kilobytes_are_enough_for_a_large_file():
    data = dicom_file(pixels=HEAD_BYTES[0] * 3)
    asked = []
    read_place(lambda most: (asked.append(most), data[:most])[1])
    assert asked == [HEAD_BYTES[0]]


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b"", "is no DICOM file but application/x-empty"),
        (b"%PDF-1.7", "is no DICOM file but application/pdf"),
        (b"x" * 128 + b"DICM", "has no StudyInstanceUID or SeriesInstanceUID"),
        (dicom_file(series_uid=None), "has no StudyInstanceUID or SeriesInstanceUID"),
        (dicom_file(study_uid=None), "has no StudyInstanceUID or SeriesInstanceUID"),
        (dicom_file(series_uid="1." * 40), "has no StudyInstanceUID or SeriesInstanceUID"),
    ],
)
def test_a_file_that_says_nothing_of_its_series(data, finding):
    with pytest.raises(UnreadableHeader) as caught:
        place_of(data)
    assert str(caught.value) == finding


WHOLE = dicom_file(number=1, position=(0, 0, 1), orientation=(1, 0, 0, 0, 1, 0), patient=PATIENT)


def answer_for(data: bytes) -> SeriesPlace | str:
    try:
        return place_of(data)
    except UnreadableHeader as finding:
        return str(finding)


def test_cut_off_anywhere_it_is_a_place_or_a_finding():
    answers = [answer_for(WHOLE[:length]) for length in range(len(WHOLE))]
    assert isinstance(answers[0], str)
    assert isinstance(answers[-1], SeriesPlace)


@settings(max_examples=150, deadline=None)
@given(st.integers(132, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_bytes_are_a_place_or_a_finding(at, noise):
    answer_for(WHOLE[:at] + noise + WHOLE[at + len(noise) :])


def test_no_tag_reaches_logs_or_warnings(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        place_of(WHOLE)
        for length in range(132, len(WHOLE), 7):
            answer_for(WHOLE[:length])
            answer_for(WHOLE[:length] + PATIENT.encode() + WHOLE[length:])
    told = [caplog.text, *capfd.readouterr(), *(str(warning.message) for warning in warned)]
    assert [text for text in told if "Canary" in text] == []
