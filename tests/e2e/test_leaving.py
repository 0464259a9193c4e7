"""What is gone from the bucket leaves the dataset and comes back with it; what changed is replaced."""

from __future__ import annotations

from demo.content import BUCKET
from tests.e2e.conftest import Bench, tiny_png
from tests.e2e.test_sync import urls_in

STAYS, GOES, MOVES, MOVED = (f"leaving/{name}.png" for name in ("stays", "goes", "moves", "moved"))


def test_what_is_gone_leaves_the_dataset_and_what_moved_is_registered(bench: Bench) -> None:
    s3 = bench.stack.s3()
    for number, key in enumerate((STAYS, GOES, MOVES)):
        s3.put_object(Bucket=BUCKET, Key=key, Body=tiny_png() + bytes([number]))
    assert bench.report(bench.run("leaving")).registered == 3

    s3.delete_object(Bucket=BUCKET, Key=GOES)
    s3.copy_object(Bucket=BUCKET, Key=MOVED, CopySource={"Bucket": BUCKET, "Key": MOVES})
    s3.delete_object(Bucket=BUCKET, Key=MOVES)
    night = bench.run("leaving")
    assert {task.state for task in bench.tasks(night)["unlink"]} == {"success"}
    log = bench.log(night, "settle")
    assert "left the dataset" in log
    assert "1 item whose objects are gone, kept in the folder cloud-sync leaving removed" in log
    # What moved stays until its successor is there.
    assert urls_in(bench.stack.encord(), "Leaving") == sorted(map(bench.url, (STAYS, MOVES, MOVED)))

    bench.run("leaving")
    assert urls_in(bench.stack.encord(), "Leaving") == sorted(map(bench.url, (STAYS, MOVED)))
    s3.put_object(Bucket=BUCKET, Key=GOES, Body=tiny_png() + bytes([1]))
    assert bench.report(bench.run("leaving")).registered == 1
    assert urls_in(bench.stack.encord(), "Leaving") == sorted(map(bench.url, (STAYS, GOES, MOVED)))
    quiet = bench.run("leaving")
    assert {task.state for task in bench.tasks(quiet)["unlink"]} == {"skipped"}


def test_what_was_written_again_is_a_new_item_and_the_next_night_does_nothing(bench: Bench) -> None:
    s3 = bench.stack.s3()
    keys = [f"again/{number}.png" for number in range(2)]
    for number, key in enumerate(keys):
        s3.put_object(Bucket=BUCKET, Key=key, Body=tiny_png() + bytes([number]))
    assert bench.report(bench.run("again")).registered == 2
    before = items_in(bench, "Again")

    s3.put_object(Bucket=BUCKET, Key=keys[1], Body=tiny_png() + b"again")
    night = bench.run("again")
    assert bench.report(night).registered == 1
    assert "whose objects have changed, kept in the folder cloud-sync again removed" in bench.log(
        night, "settle"
    )
    after = items_in(bench, "Again")
    assert urls_in(bench.stack.encord(), "Again") == sorted(map(bench.url, keys))
    assert len(after & before) == 1

    quiet = bench.run("again")
    states = {name: {task.state for task in tasks} for name, tasks in bench.tasks(quiet).items()}
    assert (states["unlink"], states["build"]) == ({"success"}, {"success"})
    assert items_in(bench, "Again") == after


def items_in(bench: Bench, dataset: str) -> set[str]:
    encord = bench.stack.encord()
    [found] = encord.get_datasets(title_eq=dataset)
    rows = encord.get_dataset(found["dataset"].dataset_hash).list_data_rows()
    return {str(row.backing_item_uuid) for row in rows}
