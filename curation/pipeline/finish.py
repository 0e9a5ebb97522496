"""The end of a curation: bad lines are weighed, counts are summed, the manifest is written, the work folder goes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation.corpus.summary import Summary
from curation.corpus.tagged import MANIFEST, removed_schema
from curation.pipeline.duplicate_ids import SharedIds, shared_ids
from curation.pipeline.passes import Curation
from curation.pipeline.split import cut_folder, cut_record
from curation.shards.removed import Removals
from curation.shards.shard import Shard
from curation.shards.shards import PassRecord, pass_folder, remove_unfinished
from curation.sources.bad_lines import QUARANTINE, SHOWN, tolerated
from curation.spec import CurationSpec
from infra.atomic import atomic_path, write_json, write_text
from infra.errors import InputError
from infra.stages.stage import Workspace

_REASONS = 3  # in a message


def finish(curation: Curation, workspace: Workspace) -> dict[str, Any]:
    """Write `excluded/`, `quarantine.jsonl` and `manifest.json`; returns the artifact's counts.

    Raises DataError when too many lines of a corpus are bad, InputError when nothing of a corpus is left.
    """
    spec, work = curation.spec, curation.work
    corpora = {}
    for name in spec.corpora:
        shards = [shard for shard in curation.shards if shard.corpus == name]
        quarantines = list(_quarantines(work, shards))
        bad = sum(map(_lines, quarantines))
        corpora[name] = _corpus(curation, name, shards, bad)
        _weigh(spec, name, corpora[name], quarantines, workspace)
        _tell_nulls(spec, name, corpora[name], workspace)
        _tell_duplicates(spec, name, corpora[name], workspace)
    with atomic_path(workspace.path / QUARANTINE) as target, open(target, "wb") as out:
        for file in _quarantines(work, curation.shards):
            with open(file, "rb") as lines:
                shutil.copyfileobj(lines, out)
    _collect_removed(curation, workspace.path)
    # what was put up with of bad input: the fingerprint does not hold it
    tolerance = {"max_bad_share": spec.max_bad_share, "damaged_files": spec.damaged_files}
    write_json(workspace.path / MANIFEST, {"steps": _steps(curation), "corpora": corpora, **tolerance})
    remove_unfinished(workspace.path / "corpora")  # by a worker of a killed run, after this one began
    shutil.rmtree(work)
    names = ("documents", "characters", "words", "bad_lines")
    counts = {name: {key: corpus[key] for key in names} for name, corpus in corpora.items()}
    return {name: {**counts[name], "removed": _removed_in_all(corpora[name])} for name in counts}


def _quarantines(work: Path, shards: Iterable[Shard]) -> Iterator[Path]:
    """Files of bad lines, in the order of the corpora; a shard that was cut from a piece shares the piece's."""
    for shard in shards:
        if shard.piece:
            yield cut_folder(work) / "quarantine" / f"{shard.piece}.jsonl"
        elif not shard.stored:
            yield work / "quarantine" / f"{shard.stem}.jsonl"


def _steps(curation: Curation) -> list[dict[str, Any]]:
    """What each step used and found."""
    reports = []
    for number, step in enumerate(curation.steps):
        context = curation.context(number, 0, Removals(curation.shards, curation.work))
        reports.append({"name": context.name, "describe": step.describe(), **step.report(context)})
    return reports


def _removed_in_all(corpus: dict[str, Any]) -> int:
    return sum(count for reasons in corpus["removed"].values() for count in reasons.values())


def _corpus(curation: Curation, name: str, shards: list[Shard], bad: int) -> dict[str, Any]:
    """A corpus's entry in the manifest."""
    records = {shard: list(_records(curation, shard)) for shard in shards}
    summaries = {shard: Summary.from_json(by_pass[-1].summary) for shard, by_pass in records.items()}
    total = Summary.total(summaries.values(), bad_lines=bad)
    files = [{"name": f"{shard.number:05d}.parquet", "documents": summary.documents, "characters": summary.characters}
             for shard, summary in summaries.items()]  # fmt: skip
    removed: dict[str, dict[str, int]] = {}
    rows = [row for by_pass in records.values() for record in by_pass for row in record.removed]
    for step, reason, count in sorted(rows):
        reasons = removed.setdefault(step, {})
        reasons[reason] = reasons.get(reason, 0) + count
    tags = curation.tags(name)
    tagged = {"attributes": list(tags)} if tags else None
    return {**total.to_json(), "attributes": list(curation.attributes(name)), "tagger": tagged, "files": files,
            "removed": removed}  # fmt: skip


def _records(curation: Curation, shard: Shard) -> Iterator[PassRecord]:
    """What is known of a shard, pass by pass; of the cutting where it was the first of a piece."""
    if shard.piece:
        yield cut_record(curation.work, shard.piece)
    for pass_ in curation.passes:
        yield PassRecord.from_json(pass_folder(curation.work, pass_.number), shard.stem)


def _lines(file: Path) -> int:
    """How many lines are lost: a damaged place of a Parquet file costs more than one."""
    with open(file, "rb") as records:
        return sum(json.loads(record).get("lines", 1) for record in records)


def _weigh(spec: CurationSpec, name: str, corpus: dict[str, Any], files: list[Path], workspace: Workspace) -> None:
    """Stop when too much of a corpus is bad or nothing is left of it; tell when a little is."""
    bad, good = corpus["bad_lines"], corpus["documents"] + _removed_in_all(corpus)
    note = tolerated(f"corpus {name}", bad, good, _first(files), spec.max_bad_share)
    if not corpus["documents"]:
        removed = "; ".join(f"{step} removed {sum(reasons.values())} ({_in_words(reasons)})"
                            for step, reasons in corpus["removed"].items())  # fmt: skip
        raise InputError(f"corpus {name} is empty: " + (removed or "its sources hold no document with text"))
    if note:
        workspace.note(note)


def _in_words(reasons: dict[str, int]) -> str:
    """The most frequent reasons of a step."""
    frequent = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:_REASONS]
    return ", ".join(f"{count} {reason}" for reason, count in frequent)


def _tell_nulls(spec: CurationSpec, name: str, corpus: dict[str, Any], workspace: Workspace) -> None:
    """Name the keys that were to be kept and that no document has: one may be misspelt."""
    requested = dict.fromkeys(key for source in spec.corpora[name].sources for key in getattr(source, "keep", ()))
    if nowhere := [key for key in requested if corpus["nulls"].get(key) == corpus["documents"]]:
        workspace.note(f"corpus {name}: no document has {', '.join(nowhere)}, which `keep` asks for: null everywhere")


def _tell_duplicates(spec: CurationSpec, name: str, corpus: dict[str, Any], workspace: Workspace) -> None:
    """Name the ids that several documents share. Ids that we give ourselves (file:line) are never shared."""
    if not any(getattr(source, "id", None) for source in spec.corpora[name].sources):
        return
    shared = _shared_ids(name, corpus, workspace)
    corpus["shared_ids"] = shared.count
    if shared.locations:
        rows = [json.dumps({"id": shared_id, "places": locations}, ensure_ascii=False)
                for shared_id, locations in shared.locations.items()]  # fmt: skip
        write_text(workspace.path / "shared_ids" / f"{name}.jsonl", "".join(row + "\n" for row in rows))
        first, locations = next(iter(shared.locations.items()))
        named = "" if shared.complete else "the first of them in "
        workspace.note(f"corpus {name}: {shared.count} ids belong to several documents, all of which are kept; see "
                       f"{named}shared_ids/{name}.jsonl: {first} at {', '.join(locations[:3])}")  # fmt: skip


def _shared_ids(name: str, corpus: dict[str, Any], workspace: Workspace) -> SharedIds:
    work = workspace.path / "work" / "ids"
    shutil.rmtree(work, ignore_errors=True)  # of a killed run
    work.mkdir(parents=True)
    shards = [workspace.path / "corpora" / name / file["name"] for file in corpus["files"]]
    with workspace.progress(f"ids of {name}", corpus["documents"], "documents") as advance:
        return shared_ids(shards, corpus["documents"], work, advance)


def _first(files: list[Path]) -> list[str]:
    shown: list[str] = []
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line, _ in zip(lines, range(SHOWN - len(shown)), strict=False):
                record = json.loads(line)
                shown.append(f"{record['file']}:{record['line']}: {record['reason']}")
    return shown


def _collect_removed(curation: Curation, target: Path) -> None:
    """Put what the passes removed together: `excluded/CORPUS/NNNNN.parquet` for every shard that lost something."""
    for shard in curation.shards:
        files = [pass_folder(curation.work, pass_.number) / "removed" / f"{shard.stem}.parquet"
                 for pass_ in curation.passes]  # fmt: skip
        if shard.piece:
            files.insert(0, cut_folder(curation.work) / "removed" / f"{shard.piece}.parquet")
        files = [file for file in files if file.exists()]
        merged = target / "excluded" / f"{shard.stem}.parquet"
        if len(files) == 1:
            merged.parent.mkdir(parents=True, exist_ok=True)
            os.replace(files[0], merged)
        if len(files) <= 1:
            continue
        with (
            atomic_path(merged) as temporary,
            pq.ParquetWriter(temporary, removed_schema(), compression="zstd") as out,
        ):
            for file in files:
                with pq.ParquetFile(file) as rows:
                    for group in range(rows.num_row_groups):
                        out.write_table(rows.read_row_group(group))
