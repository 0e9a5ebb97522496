"""The front door: few verbs, one per question, over YAML files whose first line says `kind:`."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis.study.kinds import STAGES
from infra.artifacts.export import export_artifact
from infra.artifacts.inputs import open_input, open_to_show, trust_inputs
from infra.artifacts.lineage import lineage as trace
from infra.cluster import RayCluster
from infra.config.asked import asking, keep_asked
from infra.config.placing import placing
from infra.config.registry import ImportTable
from infra.config.spec import Loaded, Spec, load_file
from infra.doctor import examine
from infra.errors import HormesisError, UserError, of_the_system
from infra.files.paths import output
from infra.render.page import Table
from infra.render.progress import bar, say
from infra.render.terminal import print_error, print_line, print_page, print_plan, print_table
from infra.stages.stage import Kind
from infra.stages.status import status_tables

KINDS: ImportTable[Kind] = ImportTable(
    "kind",
    {
        **STAGES.locations,
        "mixture": "pretrain.planning.of_mixtures:MIXTURE",
        "calibration": "curation.training.calibration.stage:CALIBRATION",
        "distillation": "curation.training.distillation.stage:DISTILLATION",
        "fasttext": "curation.training.fasttext.stage:FASTTEXT",
        "linear": "curation.training.linear.stage:LINEAR",
        "tagger": "curation.training.tagger.stage:TAGGER",
        "tune": "posttrain.tuning.stage:TUNE",
        "swarm": "mixtures.swarm.stage:SWARM",
        "study": "analysis.study.stage:STUDY",
        "toy": "analysis.toy.stage:TOY",
    },
)

CORES = os.cpu_count() or 1

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
File = Annotated[Path, typer.Argument(help="a YAML file", show_default=False)]
Folder = Annotated[Path, typer.Argument(help="an artifact or study folder", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="folder of the result [runs/NAME]")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="override a key: --set a.b=c (repeatable)")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="processes to use [all cores, or all of Ray's]")]
Trust = Annotated[bool, typer.Option("--trust", help="do not compare input artifacts with their checksums")]
Ray = Annotated[str | None, typer.Option("--ray", help="run on Ray: auto, local, ray://HOST:10001, HOST:6379")]


def load(file: Path, overrides: list[str] | None) -> Loaded:
    """Read and check a YAML file."""
    return load_file(file, {kind: lambda kind=kind: KINDS.get(kind).spec for kind in KINDS.names()}, overrides or [])  # type: ignore[misc]


def target_of(spec: Spec, out: Path | None) -> Path:
    """Where the result goes: `--out`, or `runs/NAME`. Raises InputError where nothing can be written."""
    return output(out if out is not None else Path("runs") / str(getattr(spec, "name", "unnamed")))


@app.command()
def validate(files: Annotated[list[Path], typer.Argument()], set_: Sets = None) -> None:
    """Is this file right? Every problem at once, with file:line."""
    failed = False
    for file in files:
        try:
            print_line(f"{file}: ok ({load(file, set_).kind})")
        except UserError as error:
            print_error(error)
            failed = True
    if failed:
        raise typer.Exit(2)


@app.command()
def plan(file: File, set_: Sets = None, trust: Trust = False) -> None:
    """What will it do and cost, before anything is spent?"""
    if trust:
        trust_inputs()
    kind, spec, document = load(file, set_)
    with placing(document):
        planned = KINDS.get(kind).plan(spec)
    print_plan(planned)


@app.command()
def run(
    file: File, out: Out = None, set_: Sets = None, workers: Workers = None, ray: Ray = None, trust: Trust = False
) -> None:
    """Do it; picks up where it stopped."""
    if trust:
        trust_inputs()
    kind, spec, document = load(file, set_)
    target = target_of(spec, out)
    cluster = RayCluster(ray, workers) if ray else None
    try:
        with placing(document), asking(document):
            artifact = KINDS.get(kind).start(spec, target, workers or CORES, cluster)
            if kind == "analysis":  # a study keeps it with its report
                keep_asked(artifact.path)
    except KeyboardInterrupt:
        say("stopped; run the same command again to go on")
        raise typer.Exit(130) from None


@app.command()
def status(folder: Folder) -> None:
    """What is done, running, failed, and which ranks straggle?"""
    for table in status_tables(folder):
        print_table(table)


@app.command()
def show(folder: Folder, out: Annotated[Path | None, typer.Option("--out", help="where the page goes")] = None) -> None:
    """The report or the token heat-map of any artifact, as a page and in the terminal."""
    target = output(out or folder.parent / f"{folder.resolve().name}.html")
    artifact = open_to_show(folder)
    print_page(KINDS.get(artifact.kind).show(artifact), target)


@app.command()
def compare(first: Folder, second: Folder) -> None:
    """Two studies beside each other: the second less the first, on the same seeds and prompts, with intervals."""
    from analysis.compare import comparison_tables  # with all that statistics need

    for table in comparison_tables(first, second):
        print_table(table)


@app.command()
def export(
    folder: Folder,
    to: Annotated[str, typer.Option("--to", help="the other tool's format", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="folder of the result [DIR-FORMAT]")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="what the format can be told: key=value")] = None,
    step: Annotated[int | None, typer.Option("--step", help="a model's checkpoint: short for --set step=N")] = None,
    strength: Annotated[
        float | None, typer.Option("--strength", help="of a steering: short for --set strength=S")
    ] = None,
) -> None:
    """Hand it to the next tool."""
    artifact = open_input(folder)
    target = output(out or folder.parent / f"{folder.resolve().name}-{to}")
    exports = KINDS.get(artifact.kind).exports
    short = {"step": step, "strength": strength}
    settings = [*(set_ or []), *(f"{key}={value}" for key, value in short.items() if value is not None)]
    say(f"{to}: {export_artifact(artifact, exports, to, target, settings)}")


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="an artifact: folder or URL (s3://…)", show_default=False)],
    target: Annotated[str, typer.Argument(help="where it goes: folder or URL", show_default=False)],
) -> None:
    """Publish an artifact in a bucket, or fetch one from there."""
    from infra.artifacts.transfer import copy_artifact, size_of

    with bar("copy", size_of(source), "bytes") as advance:
        copy_artifact(source, target, advance)
    say(f"copied: {target}")


@app.command()
def lineage(
    folder: Folder,
    configs: Annotated[bool, typer.Option("--configs", help="also each configuration, as JSON Lines")] = False,
    sample: Annotated[int | None, typer.Option("--sample", min=0, help="a training sample, from 0")] = None,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="of which epoch, from 0")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="of a run over this mixture; a run knows its own")] = 0,
    text: Annotated[bool, typer.Option("--text", help="show the sample's text, which may be toxic")] = False,
) -> None:
    """Which configuration, inputs and code made this? Of a training sample: which documents, spans and tokens?"""
    if sample is not None:
        from pretrain.stage import trace_sample  # with all that a training's YAML may say

        for table in trace_sample(folder, sample, epoch, seed, text):
            print_table(table)
        return
    table, chain = trace(folder)
    print_table(table)
    for artifact in chain if configs else []:
        print(json.dumps({"folder": artifact.path.name, "kind": artifact.kind, "config": artifact.config}))


@app.command()
def schema(kind: str) -> None:
    """JSON Schema of a kind, so that an editor completes and checks the YAML."""
    document = KINDS.get(kind).spec.model_json_schema()
    document["properties"] = {"kind": {"const": kind}, **document.get("properties", {})}
    document["required"] = ["kind", *(key for key in document.get("required", []) if key != "name")]
    print(json.dumps(document, indent=2))


@app.command()
def score(
    scorer: Annotated[str, typer.Option("--scorer", help="a name, tagger:DIR, or {name: ..., key: value}")],
    spans: Annotated[bool, typer.Option("--spans", help="also [start, end, score] of the risky words")] = False,
    all_spans: Annotated[bool, typer.Option("--all-spans", help="every word, whatever its score")] = False,
    tagger: Annotated[str, typer.Option("--tagger", help="how a scorer's spans are found")] = "words",
    attribute: Annotated[str | None, typer.Option("--attribute", help="whose spans [the scorer's first]")] = None,
    passage: Annotated[int, typer.Option("--passage", min=50, help="characters that a scorer sees at once")] = 200,
    serve: Annotated[bool, typer.Option("--serve", help="answer over HTTP, as the Perspective API did")] = False,
    host: Annotated[str, typer.Option("--host", help="of --serve: the address that it listens at")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="of --serve; 0: any that is free")] = 8080,
    queue: Annotated[int, typer.Option("--queue", min=1, help="of --serve: requests that may wait, then 503")] = 2048,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="of --serve: the longest comment")] = 20_480,
) -> None:
    """A filter: JSON Lines with `text` in, the same lines with `scores` and `spans` out; or a server."""
    if serve:
        from curation.serving.start import start_server

        start_server(scorer, all_spans, tagger, attribute, passage, host, port, queue, max_bytes)
        return
    from curation.filter.score_lines import answer, prepare

    answer(prepare(scorer, spans, all_spans, tagger, attribute, passage), sys.stdin.fileno(), sys.stdout.buffer)


@app.command()
def generate(
    model: Annotated[
        str, typer.Argument(help="artifact (pretrain, tune), Hugging Face folder, hf:NAME", show_default=False)
    ],
    prompts: Annotated[list[str], typer.Argument(help="texts to continue", show_default=False)],
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            help="posttrain artifacts with strengths, DIR@2 or DIR@2,DIR@5 (repeatable)",
        ),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="new tokens at most")] = 40,
    seed: Annotated[int, typer.Option("--seed", help="the same draws in every column")] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="where they run; auto: a GPU if there is one")
    ] = "auto",
    transfer: Annotated[bool, typer.Option("--transfer", help="use steering that was fitted on another model")] = False,
) -> None:
    """Try a model, steered and not, side by side."""
    from posttrain.decoding.sampling import Sampling
    from posttrain.recipe import parse_recipe
    from posttrain.steered import generate_side_by_side

    sampling = Sampling(max_new_tokens=tokens, seed=seed)
    recipes = [parse_recipe(text) for text in recipe or []]
    columns = generate_side_by_side(model, prompts, recipes, sampling, device, transfer)
    for index, prompt in enumerate(prompts):
        rows = tuple((column.heading, column.generations[index].text) for column in columns)
        print_table(Table(prompt, ("model", "continuation"), rows))


@app.command()
def rescore(
    folder: Folder,
    scorer: Annotated[str, typer.Option("--scorer", help="a name, or {name: ..., key: value}", show_default=False)],
    as_first: Annotated[bool, typer.Option("--as-first", help="it counts; the one that did is kept beside")] = False,
    workers: Workers = None,
) -> None:
    """Score what a finished study or analysis has generated by one more scorer; generates nothing."""
    from analysis.study.rescore import rescored

    say(f"rescored: {rescored(folder, scorer, as_first, workers or CORES).path}")


@app.command()
def predict(
    swarm: Folder,
    mixtures: Annotated[Path, typer.Option("--mixtures", help="CSV: index, then one column a component")],
    out: Annotated[Path, typer.Option("--out", help="CSV: index, then one column a target")],
) -> None:
    """What would these mixtures give, by the response models of a fitted swarm?"""
    from mixtures.swarm.fitting.fitted import predict_file

    say(f"{predict_file(swarm, mixtures, output(out))} mixtures predicted: {out}")


@app.command()
def doctor(out: Annotated[Path, typer.Option("--out", help="folder whose disk is looked at")] = Path("runs")) -> None:
    """What can this machine run?"""
    table, complete = examine(out)
    print_table(table)
    if not complete:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: every error that is ours, or the operating system's, becomes one message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal in ASCII shows `\\u2026` for what it cannot
            stream.reconfigure(errors="backslashreplace")
    try:
        _command()
    except HormesisError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if (known := of_the_system(error)) is None:
            raise
        print_error(known)
        sys.exit(known.exit_code)


def _command() -> None:
    """Run the command and write out all that it printed: a full disk or a closed pipe is met here, not at exit."""
    try:
        try:
            app(standalone_mode=True)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is None:  # of a stream: what is left in its buffer has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise


if __name__ == "__main__":
    main()
