"""Sent items are found again in a folder: single files by URL, groups by all their files in order, series by
all their files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.manifest.model import SentItem
from cloud_sync.registration.folder import find_items
from cloud_sync.registration.model import FolderItem
from tests.unit.registration.fakes import FakeEncord

AB = ("s3://b/a.jpg", "s3://b/b.jpg")


def group(urls=AB, title="G", item_type="image_group") -> SentItem:
    return SentItem(0, item_type, urls, title)


def single(url="s3://b/a.jpg") -> SentItem:
    return SentItem(0, "image", (url,))


@pytest.fixture
def encord() -> FakeEncord:
    return FakeEncord()


def find(encord: FakeEncord, *items: SentItem, renamed_at_most: int = 0) -> tuple[list[str], list[SentItem]]:
    return find_items(encord, "folder-1", iter(items), renamed_at_most=renamed_at_most)


def test_what_is_held_and_what_is_not(encord):
    held = [encord.hold(one) for one in (single(), group())]
    other = group(("s3://b/c.jpg",), "H")
    assert find(encord, group(), single("s3://b/x.jpg"), single(), other) == (
        held,
        [single("s3://b/x.jpg"), other],
    )


@pytest.mark.parametrize(
    "other",
    [
        group(AB[::-1]),
        group(AB[:1]),
        group((*AB, "s3://b/c.jpg")),
        group(item_type="image_sequence"),
        group(item_type="dicom_series"),
        group(title="another title"),
        single(AB[0]),
    ],
)
def test_an_item_that_only_resembles_a_group_is_not_it(encord, other):
    encord.hold(other)
    assert find(encord, group()) == ([], [group()])


def test_a_group_of_one_file_is_not_that_file_alone(encord):
    encord.hold(group(AB[:1]))
    assert find(encord, single(AB[0])) == ([], [single(AB[0])])


def test_only_groups_of_a_wanted_name_and_number_of_frames_are_asked(encord):
    for number in range(50):
        encord.hold(group((f"s3://b/{number}.jpg", "s3://b/x.jpg"), f"title {number}"))
        encord.hold(group((f"s3://b/{number}.jpg",), "G"))
        encord.hold(single(f"s3://b/{number}.jpg"))
    uuid = encord.hold(group())
    twin = encord.hold(group(("s3://b/c.jpg", "s3://b/d.jpg")))
    assert find(encord, group()) == ([uuid], [])
    assert encord.asked == [uuid, twin]


def test_the_frames_of_a_series_are_not_its_files(encord):
    series = group(item_type="dicom_series")
    uuid = encord.hold(series)
    encord.items[uuid] = FolderItem(uuid, "G", None, "dicom_series", 300)
    assert find(encord, series) == ([uuid], [])


@pytest.mark.parametrize("frame_count", [None, 2])
def test_a_sequence_is_found_though_it_has_the_url_of_a_video(encord, frame_count):
    sequence = group(item_type="image_sequence")
    uuid = encord.hold(sequence)
    encord.items[uuid] = FolderItem(uuid, "G", "s3://b/made.mp4", "image_sequence", frame_count)
    assert find(encord, sequence) == ([uuid], [])


def test_a_group_without_a_title_is_found_under_any_name(encord):
    uuid = encord.hold(group(title="named by Encord"))
    assert find(encord, group(title=None)) == ([uuid], [])


def test_a_file_whose_url_encord_does_not_tell_is_none_of_ours(encord):
    uuid = encord.hold(group(("s3://b/a.jpg", "s3://b/b.jpg")))
    encord.files[uuid] = ("s3://b/a.jpg", None)
    assert find(encord, group()) == ([], [group()])


@pytest.mark.parametrize("item_type", ["image_group", "image_sequence"])
def test_encord_may_reorder_a_series_and_nothing_else(encord, item_type):
    series = encord.hold(group(AB[::-1], item_type="dicom_series"))
    encord.hold(group(AB[::-1], item_type=item_type))
    ordered = group(item_type=item_type)
    assert find(encord, ordered, group(item_type="dicom_series")) == ([series], [ordered])


def test_a_series_has_each_file_as_often_as_was_sent(encord):
    encord.hold(group((*AB, AB[0]), item_type="dicom_series"))
    wanted = group(item_type="dicom_series")
    assert find(encord, wanted) == ([], [wanted])


def test_what_was_sent_twice_is_missing_twice(encord):
    once, again = (SentItem(number, "dicom_series", urls, "G") for number, urls in enumerate((AB, AB[::-1])))
    assert find(encord, once, again) == ([], [once, again])
    assert find(encord, once, again, single(), single()) == ([], [once, again, single(), single()])


class TestRenamed:
    @pytest.mark.parametrize("item_type", ["image_group", "image_sequence", "dicom_series"])
    def test_a_group_is_found_under_another_name(self, encord, item_type):
        uuid = encord.hold(group(title="renamed", item_type=item_type))
        wanted = group(item_type=item_type)
        assert find(encord, wanted) == ([], [wanted])
        assert find(encord, wanted, renamed_at_most=10) == ([uuid], [])

    def test_nobody_is_asked_when_all_groups_are_found(self, encord):
        uuid = encord.hold(group())
        encord.hold(group(AB[::-1], "other"))
        assert find(encord, group(), single("s3://b/x.jpg"), renamed_at_most=10) == (
            [uuid],
            [single("s3://b/x.jpg")],
        )
        assert (encord.asked, encord.calls) == ([uuid], ["items"])

    def test_only_others_of_its_type_and_number_of_files_are_asked_and_each_once(self, encord):
        namesake = encord.hold(group(AB[::-1]))
        encord.hold(group(AB, "a sequence", "image_sequence"))
        encord.hold(group(AB[:1], "smaller"))
        encord.hold(single())
        uuid = encord.hold(group(title="renamed"))
        assert find(encord, group(), renamed_at_most=10) == ([uuid], [])
        assert encord.asked == [namesake, uuid]

    def test_no_more_are_asked_than_allowed_and_the_log_says_so(self, encord, caplog):
        for number in range(5):
            encord.hold(group((f"s3://b/{number}.jpg", "s3://b/x.jpg"), f"title {number}"))
        encord.hold(group(title="renamed"))
        with caplog.at_level("INFO"):
            assert find(encord, group(), renamed_at_most=3) == ([], [group()])
        assert len(encord.asked) == 3
        assert "looking for renamed ones in 3 of 6 others" in caplog.text

    def test_series_whose_frames_are_as_many_as_files_are_asked_first(self, encord):
        wanted = group(item_type="dicom_series")
        for number in range(3):
            other = encord.hold(group((f"s3://b/{number}.dcm",), f"title {number}", "dicom_series"))
            encord.items[other] = FolderItem(other, f"title {number}", None, "dicom_series", 300)
        uuid = encord.hold(group(title="renamed", item_type="dicom_series"))
        assert find(encord, wanted, renamed_at_most=1) == ([uuid], [])


def known_by(item: SentItem) -> tuple[str, tuple[str, ...]]:
    if item.item_type == "dicom_series":
        return item.item_type, tuple(sorted(item.object_urls))
    return item.item_type, item.object_urls


URLS = st.lists(st.sampled_from([f"s3://b/{n}.jpg" for n in range(4)]), min_size=1, max_size=3, unique=True)
ITEMS = st.one_of(
    st.builds(lambda urls: single(urls[0]), URLS),
    st.builds(
        lambda urls, title, kind: group(tuple(urls), title, kind),
        URLS,
        st.sampled_from(["G", "H"]),
        st.sampled_from(["image_group", "image_sequence", "dicom_series"]),
    ),
)


@given(st.lists(ITEMS, unique_by=known_by), st.lists(ITEMS, unique_by=known_by), st.sampled_from([0, 99]))
def test_each_wanted_item_is_either_held_or_missing(wanted, held, renamed_at_most):
    encord = FakeEncord()
    uuids = {known_by(one): encord.hold(one) for one in held}
    found, missing = find(encord, *wanted, renamed_at_most=renamed_at_most)
    there = [one for one in wanted if one not in missing]
    assert sorted(found) == sorted(uuids[known_by(one)] for one in there)
    assert not [one for one in missing if one in held]
    if renamed_at_most:  # else those of another title may be found or not
        assert not [one for one in missing if known_by(one) in uuids]
