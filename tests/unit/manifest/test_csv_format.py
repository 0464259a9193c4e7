"""Writing CSV: canonical bytes, what is lost, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.csv_format import encode_csv
from cloud_sync.manifest.items import Item
from tests.unit.manifest.samples import VIDEO_METADATA, all_items, read, texts, urls

SINGLE = st.builds(Item, st.sampled_from(["video", "image"]), st.tuples(urls), st.none() | texts)
GROUPED = st.builds(
    Item,
    st.sampled_from(["image_group", "image_sequence", "dicom_series"]),
    st.lists(urls, min_size=1, max_size=4).map(tuple),
    texts,
)

TOO_LONG = "whose title or object URL has more than 131,072 characters"


class TestBytes:
    def test_one_type(self):
        data, losses = encode_csv([Item("video", ("https://b/a.mp4",), 'say "hi", x'), Item("video", ("b",))])
        assert data == b'ObjectURL,Video title\r\nhttps://b/a.mp4,"say ""hi"", x"\r\nb,\r\n'
        assert losses == ()

    def test_several_types_state_create_video_everywhere(self):
        items = [
            Item("dicom_series", ("d0", "d1"), "D"),
            Item("image_group", ("g",), "G"),
            Item("image_sequence", ("s",), "S"),
            Item("image", ("i",)),
        ]
        assert encode_csv(items)[0].decode().split("\r\n") == [
            "ObjectURL,Image title,Create video",
            "i,,false",
            "ObjectURL,Image group title,Create video",
            "g,G,false",
            "s,S,true",
            "ObjectURL,Series title,Create video",
            "d0,D,false",
            "d1,D,false",
            "",
        ]

    def test_half_a_character(self):
        with pytest.raises(ManifestError, match="half a character"):
            encode_csv([Item("image", ("i",), "\ud800")])


class TestLoss:
    @pytest.mark.parametrize(
        ("item", "loss"),
        [
            (Item("image", ("a",), None, {}), "item 1: its clientMetadata"),
            (Item("video", ("a",), None, None, VIDEO_METADATA), "item 1: its videoMetadata"),
            (Item("image", ("a",), " "), "item 1: its blank title"),
            (Item("pdf", ("a",)), "item 1: the item, which is of the type pdf"),
            (Item("audio", ("a",)), "item 1: the item, which is of the type audio"),
            (Item("image_group", ("a",), " "), "item 1: the item, which is a group without a title"),
            (Item("image_sequence", ("a",), "G"), "item 1: the item, whose title another group has"),
            (Item("image_group", (), "H"), "item 1: the item, which has no files"),
            (Item("image", (" a",)), "item 1: the item, whose object URL begins or ends with whitespace"),
            (Item("image", ("x",), "ObjectURL"), "item 1: the item, which would be read as headings"),
            (Item("image", ("x",), "t" * 131_073), f"item 1: the item, {TOO_LONG}"),
            (Item("dicom_series", ("x", "u" * 131_073), "D"), f"item 1: the item, {TOO_LONG}"),
        ],
    )
    def test_it_is_refused_unless_allowed(self, item, loss):
        items = [Item("image_group", ("g",), "G"), item]
        with pytest.raises(ManifestError, match=f"would lose {loss}\\. .*--allow-loss"):
            encode_csv(items)
        data, losses = encode_csv(items, allow_loss=True)
        assert [str(one) for one in losses] == [loss]
        assert items[0] in read(data).items

    def test_the_largest_cells_are_read_back(self):
        items = [Item("image", ('"' * 131_072,), "ü" * 131_072)]
        assert read(encode_csv(items)[0], format="csv").items == items

    def test_flags(self):
        assert encode_csv([], skip_duplicate_urls=False, upsert_metadata=False)[1] == ()
        _, losses = encode_csv([], skip_duplicate_urls=True, upsert_metadata=True, allow_loss=True)
        assert [str(one) for one in losses] == ["skip_duplicate_urls: true", "upsert_metadata: true"]


@given(st.lists(SINGLE | GROUPED, min_size=1, max_size=6))
def test_without_loss_everything_comes_back(items):
    try:
        data, _ = encode_csv(items)
    except ManifestError:
        return
    read_again = read(data, format="csv").items
    assert sorted(map(repr, read_again)) == sorted(map(repr, items))
    assert encode_csv(read_again)[0] == data


@given(all_items)
def test_a_loss_names_every_item_that_does_not_come_back(items):
    data, losses = encode_csv(items, allow_loss=True)
    touched = {loss.item for loss in losses}
    kept = [item for position, item in enumerate(items) if position not in touched]
    left = list(read(data, format="csv").items) if data else []
    for item in kept:
        left.remove(item)  # raises if it is not there
    assert len(left) <= len(items) - len(kept)
