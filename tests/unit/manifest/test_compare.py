"""Differences between two manifests."""

from __future__ import annotations

import pytest
from hypothesis import given

from cloud_sync.errors import ManifestError
from cloud_sync.manifest.compare import compare_manifests
from cloud_sync.manifest.content import ReadManifest
from cloud_sync.manifest.items import Item
from tests.unit.manifest.samples import SECRET_URLS, VIDEO_METADATA, B, all_items, read

A = Item("video", (f"{B}a.mp4",), "A")
FRAMES = tuple(f"{B}f{number}.jpg" for number in range(3))
GROUP = Item("image_group", FRAMES, "G")


def holding(*items: Item, skip: bool | None = True) -> ReadManifest:
    """Return a manifest as a reader would; places are positions."""
    return ReadManifest("m", "json", "raw", items, skip, None, (), str)


def found(before: Item | None, after: Item | None) -> list[tuple[str, str]]:
    """Return kind and detail of what is found."""
    sides = [holding(*([one] if one else [])) for one in (before, after)]
    return [(each.kind, each.detail) for each in compare_manifests(*sides)]


def changed(item: Item, **fields: object) -> Item:
    values = {name: getattr(item, name) for name in item.__struct_fields__}
    return Item(**{**values, **fields})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (A, A, []),
        (A, None, [("removed", "")]),
        (None, A, [("added", "")]),
        (A, changed(A, title=None), [("changed", "title 'A' -> none")]),
        (A, changed(A, item_type="image"), [("changed", "type video -> image")]),
        (A, changed(A, client_metadata={"x": 1}), [("changed", "clientMetadata: x")]),
        (A, changed(A, client_metadata={}), [("changed", "clientMetadata: empty instead of none")]),
        (
            changed(A, client_metadata=dict.fromkeys("abcdefg", 1)),
            A,
            [("changed", "clientMetadata: a, b, c, d, e and 2 more")],
        ),
        (
            changed(A, video_metadata=VIDEO_METADATA),
            A,
            [("changed", "videoMetadata: fps, duration, width, height, file_size and 1 more")],
        ),
        (
            GROUP,
            changed(GROUP, item_type="image_sequence"),
            [("changed", "type image_group -> image_sequence")],
        ),
        (GROUP, changed(GROUP, object_urls=FRAMES[::-1]), [("changed", "files: in another order")]),
        (
            GROUP,
            changed(GROUP, object_urls=(*FRAMES[1:], "s3://b/x")),
            [("changed", "files: 1 added, 1 removed")],
        ),
        (
            GROUP,
            changed(GROUP, object_urls=(*FRAMES, FRAMES[0])),
            [("changed", "files: some stand there twice")],
        ),
        # A single file is its URL and nothing else, whatever its title.
        (A, changed(A, object_urls=(f"{B}b.mp4",)), [("removed", ""), ("added", "")]),
    ],
)
def test_what_is_found(before, after, expected):
    assert found(before, after) == expected


def test_names_and_places():
    (difference,) = compare_manifests(holding(A), holding(GROUP, changed(A, title="B")))[:1]
    assert (difference.kind, difference.name, difference.place_before, difference.place_after) == (
        "changed",
        "B",
        "0",
        "1",
    )


def test_another_order_of_items_is_one_difference():
    b = changed(A, object_urls=(f"{B}b.mp4",))
    (difference,) = compare_manifests(holding(A, b), holding(b, A))
    assert (difference.item_type, difference.name) == ("manifest", "order")


def test_the_same_item_twice_is_matched_once():
    assert [each.kind for each in compare_manifests(holding(A, A), holding(A))] == ["removed"]


def test_a_flag_that_is_not_stated_is_false():
    assert compare_manifests(holding(A, skip=None), holding(A, skip=False)) == ()
    (difference,) = compare_manifests(holding(A, skip=None), holding(A, skip=True))
    assert (difference.name, difference.detail) == ("skip_duplicate_urls", "false -> true")


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_secret_of_a_url_is_shown(url):
    (difference,) = compare_manifests(holding(Item("video", (url,))), holding())
    assert difference.name == "https://b/k"


def test_a_manifest_with_errors_is_refused():
    wrong = read('{"videos": [{"objectUrl": 1}]}')
    with pytest.raises(ManifestError):
        compare_manifests(wrong, holding(A))


@given(all_items)
def test_nothing_differs_from_itself(items):
    assert compare_manifests(holding(*items), holding(*items)) == ()


@given(all_items, all_items)
def test_both_ways_find_as_much(before, after):
    there, back = (compare_manifests(holding(*x), holding(*y)) for x, y in ((before, after), (after, before)))
    assert sorted(each.kind for each in there if each.kind != "changed") == sorted(
        {"added": "removed", "removed": "added"}[each.kind] for each in back if each.kind != "changed"
    )
