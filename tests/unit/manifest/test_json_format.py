"""Writing JSON: canonical bytes, both dialects, what is refused."""

from __future__ import annotations

import json
import math

import pytest
from encord.orm.storage import DataUploadItems
from hypothesis import given

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.items import MANIFEST_KEYS, Item, VideoMetadata
from cloud_sync.manifest.json_format import encode_manifest
from tests.unit.manifest.samples import SECRET_URLS, VIDEO_METADATA, B, all_items, read


def encode(*items: Item, **options: bool) -> str:
    return encode_manifest(items, **{"skip_duplicate_urls": True, **options}).decode()


def in_order(items: list[Item]) -> list[Item]:
    keys = list(dict.fromkeys(MANIFEST_KEYS.values()))
    return sorted(items, key=lambda item: keys.index(MANIFEST_KEYS[item.item_type]))


class TestRawDialect:
    def test_every_type(self):
        text = encode(
            Item("text", ("t",)),
            Item("audio", ("a",), "A"),
            Item("dicom_series", ("d0", "d1"), "D"),
            Item("image_sequence", tuple(f"s{n}" for n in range(11)), "S"),
            Item("image_group", ("g",), "G", {"b": 1, "a": None}),
            Item("image", ("i",)),
            Item("video", ("v",), None, {}, VIDEO_METADATA),
        )
        sequence = "".join(f',"objectUrl_{n}":"s{n}"' for n in range(11))
        assert text == (
            '{"videos":[{"objectUrl":"v","clientMetadata":{},"videoMetadata":{"fps":25.0,"duration":10.5,'
            '"width":640,"height":480,"file_size":1000,"mime_type":"video/mp4"}}],'
            '"images":[{"objectUrl":"i"}],'
            f'"image_groups":[{{"title":"S","createVideo":true{sequence}}},'
            '{"title":"G","createVideo":false,"objectUrl_0":"g","clientMetadata":{"a":null,"b":1}}],'
            '"dicom_series":[{"title":"D","createVideo":false,"objectUrl_0":"d0","objectUrl_1":"d1"}],'
            '"audio":[{"objectUrl":"a","title":"A"}],"text":[{"objectUrl":"t"}],'
            '"skip_duplicate_urls":true}'
        )

    def test_upsert_is_stated_only_if_true(self):
        assert encode(upsert_metadata=True) == '{"skip_duplicate_urls":true,"upsert_metadata":true}'
        assert "upsert" not in encode()

    def test_equal_items_give_equal_bytes(self):
        one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
        assert encode(Item("image", ("i",), None, one)) == encode(Item("image", ("i",), None, other))


class TestTypedDialect:
    ITEMS = (
        Item("pdf", (f"{B}p.pdf",), "P", {"a": {"b": [1]}}),
        Item("nifti", (f"{B}n.nii.gz",)),
        Item("video", (f"{B}v.mp4",), None, None, VIDEO_METADATA),
        Item("image", (f"{B}i.jpg",), "I"),
        Item("image_group", (f"{B}g0.jpg", f"{B}g1.jpg"), "G"),
        Item("image_sequence", (f"{B}s.jpg",), "S", {"k": "v"}),
        Item("dicom_series", (f"{B}d0.dcm", f"{B}d1.dcm"), "D"),
        Item("audio", (f"{B}a.mp3",)),
        Item("text", (f"{B}t.txt",)),
    )

    @pytest.mark.parametrize("upsert", [False, True])
    def test_the_sdk_reads_it_and_drops_nothing(self, upsert):
        text = encode(*self.ITEMS, upsert_metadata=upsert)
        known = DataUploadItems.model_validate_json(text).model_dump(mode="json", by_alias=True)
        assert contained(json.loads(text), known)
        assert known["skipDuplicateUrls"] is True
        assert known["upsertMetadata"] is upsert
        assert [group["createVideo"] for group in known["imageGroups"]] == [False, True]
        assert len(known["pdf"]) == len(known["nifti"]) == 1

    def test_it_is_read_again(self):
        manifest = read(encode(*self.ITEMS))
        assert (manifest.dialect, manifest.findings) == ("typed", ())
        assert manifest.items == in_order(list(self.ITEMS))
        assert manifest.skip_duplicate_urls is True

    def test_what_the_sdk_itself_writes_is_read(self):
        known = DataUploadItems.model_validate_json(encode(*self.ITEMS))
        manifest = read(known.model_dump_json(by_alias=True))
        assert manifest.findings == ()
        assert [item.object_urls for item in manifest.items] == [
            item.object_urls for item in in_order(list(self.ITEMS))
        ]


def contained(part: object, whole: object) -> bool:
    """Tell whether `whole` says at least what `part` says."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contained(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(contained, part, whole))
    return part == whole


@given(all_items)
def test_round_trip(items):
    manifest = read(encode(*items, skip_duplicate_urls=False))
    assert manifest.items == in_order(items)
    assert manifest.skip_duplicate_urls is False
    assert encode(*manifest.items, skip_duplicate_urls=False) == encode(*items, skip_duplicate_urls=False)


class TestRefused:
    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            (Item("image", ("a", "b")), "2 files instead of one"),
            (Item("video", ()), "0 files instead of one"),
            (Item("image_group", ("a",)), "no title"),
            (Item("dicom_series", (), "t"), "no files"),
            (Item("image", ("a",), None, None, VIDEO_METADATA), "only a video"),
            (Item("image_group", ("a",), "t", None, VIDEO_METADATA), "only a video"),
            (Item("image", ("a",), None, {"a": [{"b": math.nan}]}), "NaN or Infinity"),
            (Item("image", ("a",), None, {"a": -math.inf}), "NaN or Infinity"),
            (Item("image", ("a",), None, {"a": object()}), "no JSON"),
            (Item("image", ("a",), None, {"a": "\ud800"}), "no JSON"),
            (Item("image", ("\ud800",)), "half a character"),
            (
                Item("video", ("a",), None, None, VideoMetadata(math.nan, 1, 1, 1, 1, "video/mp4")),
                "NaN or Infinity",
            ),
        ],
    )
    def test_items_that_cannot_be_said(self, item, reason):
        with pytest.raises(ManifestError, match=reason):
            encode(item)

    def test_metadata_that_is_too_deep(self):
        deep: dict[str, object] = {}
        for _ in range(100_000):
            deep = {"a": deep}
        with pytest.raises(ManifestError, match="no JSON"):
            encode(Item("image", ("a",), None, deep))
        while deep:  # taken apart by hand: freeing it whole would recurse as deep
            deep = deep["a"]  # type: ignore[assignment]

    @pytest.mark.parametrize("url", SECRET_URLS)
    def test_no_secret_in_the_error(self, url):
        with pytest.raises(ManifestError, match="dicom_series 'https://b/k'"):
            encode(Item("dicom_series", (url,)))
