"""Reading JSON: what is read, what is found, and where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import ManifestError
from cloud_sync.manifest import json_reader
from cloud_sync.manifest.findings import Findings
from cloud_sync.manifest.items import Item
from cloud_sync.manifest.json_format import encode_manifest
from cloud_sync.manifest.json_reader import read_json
from cloud_sync.manifest.json_sweep import sweep
from tests.unit.manifest.samples import VIDEO_METADATA, B, codes, raw_items, read

GROUP = '"title":"G","createVideo":false'


def group(*members: str) -> str:
    return '{"image_groups":[{' + ",".join([GROUP, *members]) + "}]}"


def found(text: str, **options: bool) -> list[str]:
    return [finding.code for finding in read(text, **options).findings]


class TestGroups:
    def test_numbers_count_not_their_order_in_the_file(self):
        names = [10, 2, 0, 1, 9, 3, 8, 4, 7, 5, 6]
        manifest = read(group(*[f'"objectUrl_{n}":"u{n}"' for n in names]))
        assert manifest.items[0].object_urls == tuple(f"u{n}" for n in range(11))
        assert manifest.findings == ()

    def test_a_gap_is_reported_and_loses_nothing(self):
        manifest = read(group('"objectUrl_1":"a"', '"objectUrl_3":"b"'))
        assert manifest.items[0].object_urls == ("a", "b")
        [finding] = manifest.findings
        assert (finding.code, finding.level) == ("url-gap", "warning")
        assert finding.place == "line 1, column 18, image_groups[0].objectUrl_0"

    @pytest.mark.parametrize(
        ("member", "code"),
        [
            ('"objectUrl_0":"a","objectUrl_00":"b"', "url-position-twice"),
            ('"objectUrl_0":"a","objectUrl_0":"b"', "duplicate-key"),
            ('"objectUrl":"a"', "unknown-key"),
            ('"objectUrl_٣":"a"', "unknown-key"),
            ('"objectUrl_0":7', "unreadable-value"),
            ('"objectUrl_0":"a","videoMetadata":{}', "unknown-key"),
            ('"objectUrl_0":"a","clientMetadata":[]', "unreadable-value"),
            ('"images":[{"url":"a"}]', "mixed-dialects"),
        ],
    )
    def test_what_cannot_be_sent_as_it_stands_is_an_error(self, member, code):
        manifest = read(group(member))
        assert [finding.code for finding in manifest.findings if finding.level == "error"] == [code]

    @pytest.mark.parametrize(
        ("text", "item_type"),
        [
            ('{"image_groups":[{"title":"G","objectUrl_0":"a"}]}', "image_sequence"),
            ('{"imageGroups":[{"title":"G","images":[{"url":"a"}]}]}', "image_group"),
        ],
    )
    def test_each_dialect_has_its_own_default_of_create_video(self, text, item_type):
        manifest = read(text)
        assert manifest.items == [Item(item_type, ("a",), "G")]
        assert [finding.code for finding in manifest.findings] == ["create-video-unset"]


class TestFiles:
    def test_both_spellings_of_video_metadata(self):
        typed = {"fps": 25, "duration": 10.5, "width": 640, "height": 480}
        entry = {"objectUrl": "v", "videoMetadata": {**typed, "fileSize": 1000, "mimeType": "video/mp4"}}
        manifest = read(json.dumps({"videos": [entry], "skipDuplicateUrls": False}))
        assert manifest.items == [Item("video", ("v",), video_metadata=VIDEO_METADATA)]
        assert (manifest.dialect, manifest.skip_duplicate_urls, manifest.findings) == ("typed", False, ())

    @pytest.mark.parametrize(
        ("entry", "code"),
        [
            ('{"objectUrl":"v","createVideo":true}', "create-video-on-file"),
            ('{"objectUrl":"v","titel":"x"}', "unknown-key"),
            ('{"objectUrl":"v","objectUrl":"w"}', "duplicate-key"),
            ('{"objectUrl":"v","object\\u0055rl":"w"}', "duplicate-key"),
            ('{"objectUrl":"v","title":5}', "unreadable-value"),
            ('{"title":"x"}', "unreadable-value"),
            ('{"objectUrl":null}', "unreadable-value"),
            ('"v"', "unreadable-value"),
            ('{"objectUrl":"v","videoMetadata":{"fps":1}}', "unreadable-value"),
            ('{"objectUrl":"v","videoMetadata":{"fps":1,"fps":2}}', "duplicate-key"),
            ('{"objectUrl":"v","imageMetadata":{}}', "unsupported-key"),
            ('{"objectUrl":"v","externalFileType":"IMAGE"}', "unreadable-value"),
        ],
    )
    def test_what_cannot_be_sent_as_it_stands_is_an_error(self, entry, code):
        manifest = read(f'{{"videos":[{{"objectUrl":"ok"}},{entry}]}}')
        [finding] = manifest.findings
        assert (finding.code, finding.level) == (code, "error")
        assert finding.place.startswith("line 1, column 31, videos[1]")
        assert manifest.items[0] == Item("video", ("ok",))

    def test_null_and_false_say_nothing(self):
        text = '{"images":[{"objectUrl":"i","title":null,"clientMetadata":null,"createVideo":false}]}'
        manifest = read(text)
        assert (manifest.items, manifest.findings) == ([Item("image", ("i",))], ())

    def test_a_key_twice_in_metadata_keeps_the_last(self):
        manifest = read('{"images":[{"objectUrl":"i","clientMetadata":{"a":{"b":1,"b":2}}}]}')
        assert manifest.items[0].client_metadata == {"a": {"b": 2}}
        assert [finding.code for finding in manifest.findings] == ["metadata-duplicate-key"]

    def test_numbers_of_metadata_are_kept_exactly(self):
        metadata = {"large": 2**80, "small": -1.5e-300}
        manifest = read(json.dumps({"images": [{"objectUrl": "i", "clientMetadata": metadata}]}))
        assert manifest.items[0].client_metadata == metadata


class TestTopLevel:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"pdfs":[{"objectUrl":"p"}]}', ["unknown-key"]),
            ('{"scenes":[{}]}', ["unsupported-key"]),
            ('{"scenes":[],"timeSeries":[],"videos":[]}', []),
            ('{"videos":{}}', ["unreadable-value"]),
            ('{"videos":null}', ["unreadable-value"]),
            ('{"skip_duplicate_urls":"yes"}', ["unreadable-value"]),
            ('{"skip_duplicate_urls":true,"skip_duplicate_urls":false}', ["duplicate-key"]),
            ('{"image_groups":[],"imageGroups":[]}', ["mixed-dialects"]),
            ('{"skip_duplicate_urls":true,"pdf":[]}', ["mixed-dialects"]),
            ('{"videos":[],"videos":[]}', ["repeated-key"]),
        ],
    )
    def test_findings(self, text, expected):
        assert found(text) == expected

    def test_flags(self):
        manifest = read('{"skip_duplicate_urls":true,"upsert_metadata":true}')
        assert (manifest.skip_duplicate_urls, manifest.upsert_metadata) == (True, True)
        assert read("{}").skip_duplicate_urls is None


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[]", r"line 1, column 1: .* does not begin with \{"),
            ('{"videos":[]', "line 1, column 13: .* is cut off"),
            ("{videos:[]}", "line 1, column 2: .* double quotes"),
            ('{"videos" []}', "line 1, column 11: .* lacks a colon"),
            ('{"videos":[{"objectUrl":"a"} {}]}', r"column 30: .* lacks a comma or \]"),
            ('{"videos":[]}\n{}', "line 2, column 1: .* goes on after its end"),
            ('{"videos":[{"objectUrl":"a",}]}', "column 28: .* comma before a closing"),
            ('{"videos":[{"objectUrl":"a"},\n ]}', "line 1, column 29: .* comma before a closing"),
            ('{"videos":[],}', "column 13: .* comma before a closing"),
            ('{"a":[NaN]}', "column 7: .* NaN"),
            ('{"a":[{"b":-Infinity}]}', "column 7: .* -Infinity"),
            ('{"a":[1e999]}', "column 7: .* out of range"),
            (f'{{"a":[{"9" * 5000}]}}', "column 7: .* digits"),
            ('{"a":["\\ud800"]}', "column 7: .* half a character"),
            ('{"a":["\x01"]}', "column 8: .* control character"),
            ('{"a":' + "[" * 100_000, "nested too deeply"),
            ('{"videos":[' + '{"a":' * 100_000, "column 12: .* nested too deeply"),
        ],
    )
    def test_the_place_and_the_reason_are_named(self, text, reason):
        with pytest.raises(ManifestError, match=reason) as caught:
            read(text, format="json")
        assert caught.value.remedy

    def test_trailing_commas_in_strings_are_left_alone(self):
        manifest = read('{"images":[{"objectUrl":"a,]","title":"\\",}"},],}', lenient=True)
        assert manifest.items == [Item("image", ("a,]",), '",}')]
        assert [finding.code for finding in manifest.findings] == ["trailing-comma"] * 2

    def test_a_string_without_end_takes_no_quadratic_time(self):
        with pytest.raises(ManifestError):
            read('{"a":"' + '\\"' * 300_000, lenient=True)

    @pytest.mark.parametrize("values", ["[],[]", "1,2,3", '{"a":1,"b":2}', '"a","b","c"'])
    def test_more_values_than_the_memory_holds_are_refused(self, values, monkeypatch):
        text = f'{{"images":[{{"objectUrl":"i","clientMetadata":{{"a":[{values}]}}}}]}}'
        allowed = sum(map(text.count, "[{,"))
        monkeypatch.setattr(json_reader, "MAX_VALUES", allowed)
        assert read(text).findings == ()
        monkeypatch.setattr(json_reader, "MAX_VALUES", allowed - 1)
        with pytest.raises(ManifestError, match=r"m: holds more than .* Split it into several files"):
            read(text)


class TestSweep:
    """The quick reader says the same as the careful one, or nothing."""

    @given(raw_items, st.booleans())
    def test_it_agrees_with_the_walk(self, items, skip):
        data = encode_manifest(items, skip_duplicate_urls=skip)
        swept, walked = sweep(data), read_json(b"\n" + data, file="m", lenient=True, findings=Findings())
        assert swept is not None
        assert walked.items == swept.items
        assert swept.skip_duplicate_urls is skip

    @given(raw_items, st.integers(0, 4), st.booleans())
    def test_other_spacing_and_escapes_change_nothing(self, items, indent, ascii_only):
        data = encode_manifest(items, skip_duplicate_urls=True)
        text = json.dumps(json.loads(data), indent=indent, ensure_ascii=ascii_only)
        swept = sweep(text.encode())
        if swept is not None:
            assert swept.items == read(data).items
        assert read(text).items == read(data).items

    @pytest.mark.parametrize(
        "entry",
        [
            '{"objectUrl":"a","objectUrl":"b"}',
            '{"objectUrl":"a\\"","objectUrl":"\\"b"}',
            '{"objectUrl":"a","object\\u0055rl":"b"}',
            '{"objectUrl":"a","objectUrl":"\\u0022"}',
            '{"objectUrl":"a","clientMetadata":{"k":1,"k":2}}',
            '{"objectUrl":"a","objectUrl":"\\\\"}',
        ],
    )
    def test_a_key_twice_is_never_swept(self, entry):
        assert sweep(f'{{"images":[{entry}]}}'.encode()) is None
        assert sweep(f'{{"videos":[],"images":[{{"objectUrl":"{B}"}}],"videos":[]}}'.encode()) is None

    def test_the_usual_manifest_is_swept(self):
        data = encode_manifest([Item("image", (f"{B}ä.jpg",), "t\n", {"a": [1]})], skip_duplicate_urls=True)
        assert sweep(data) is not None
        assert sweep(json.dumps(json.loads(data), indent=4).encode()) is not None

    def test_places_are_known_all_the_same(self):
        items = [Item("video", (f"{B}v.mp4",)), Item("image", (f"{B}i.mp4",)), Item("image", (f"{B}j.jpg",))]
        manifest = read(encode_manifest(items, skip_duplicate_urls=True))
        assert manifest.place_of(2) == "line 1, column 147, images[1]"
        assert codes(manifest) == ["type-mismatch"]
