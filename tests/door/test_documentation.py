"""README, CONTRIBUTING and docs: YAML is what its kind takes, commands are what their programs take, names are there.

A block of YAML with `kind:` is a file of its own; its info string may name it (```yaml mixture.yaml), for a later block
that extends it. Any other says where it belongs (```yaml in curation.steps, ```yaml in swarm instead of sample) and is
validated there, in the first whole file of that kind in the documentation; a key that comes again begins another one.
"""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from curation.corpus.where import parse
from hormesis import app, load
from tests.helpers import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAMS = ("hormesis", "make", "ray", "python", "python3.11", ".venv/bin/pip", "echo")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: str
    line: int
    language: str
    about: str  # the rest of the info string
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def within(self) -> re.Match[str] | None:
        """Where a fragment belongs, and the key that it replaces."""
        return re.fullmatch(r"in (?P<where>\w+(\.\w+)*)( instead of (?P<instead>\w+))?", self.about)

    @property
    def commands(self) -> list[str]:
        """The lines that a reader would type: those after `$`, or all of a block that begins with a program."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        if self.language in ("", "console") and any(line.startswith("$ ") for line in lines):
            return [line[2:] for line in lines if line.startswith("$ ")]
        typed = self.language == "sh" or (not self.language and lines[0].split()[0] in PROGRAMS)
        return lines if typed else []


def blocks() -> Iterator[Block]:
    """Every fenced block of every page, without the indentation of its fence."""
    for page in PAGES:
        text = page.read_text()
        for fence in re.finditer(r"^( *)```(\S*) *([^\n]*)\n(.*?)^\1``` *$", text, re.S | re.M):
            indent, language, about, body = fence.groups()
            line = text.count("\n", 0, fence.start()) + 1
            lines = "".join(row.removeprefix(indent) for row in body.splitlines(keepends=True))
            yield Block(page.relative_to(ROOT).as_posix(), line, language, about.strip(), lines)


BLOCKS = list(blocks())
YAMLS = [block for block in BLOCKS if block.language == "yaml"]
README = next(block for block in YAMLS if block.page == "README.md")
WHOLE = [block for block in YAMLS if block.text.startswith("kind:") and block is not README]
FRAGMENTS = [block for block in YAMLS if not block.text.startswith("kind:")]
COMMANDS = sorted({(block.page, command) for block in BLOCKS for command in block.commands})


def parsed(text: str) -> Any:
    return YAML(typ="safe").load(text)


def alternatives(text: str) -> list[Any]:
    """The documents of a block in which a key of the top level that comes again begins the next one."""
    documents: list[dict[str, str]] = [{}]
    for section in re.split(r"^(?=\w+:)", text, flags=re.M)[1:]:
        key = section.split(":")[0]
        if key in documents[-1]:
            documents.append({})
        documents[-1][key] = section
    return [parsed("".join(document.values())) for document in documents] if documents[0] else [parsed(text)]


def validate(folder: Path, document: Any) -> None:
    """Raises what `hormesis validate` would print; every file that the documentation names is there to be extended."""
    for block in WHOLE:
        if block.about:
            (folder / block.about).write_text(block.text)
    with open(folder / "block.yaml", "w") as file:
        YAML(typ="safe").dump(document, file)
    load(folder / "block.yaml", None)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in ("", "sh", "console", "yaml", "where", "text", "mermaid"), (
        "what is it, and which test reads it?"
    )
    if block in FRAGMENTS:
        assert block.within, "YAML without `kind:` says where it belongs: ```yaml in KIND.KEY"
    if block.language in ("", "text", "mermaid"):
        assert block.commands or not re.search(r"^(\$ |hormesis |make |python )", block.text, re.M)


@pytest.mark.parametrize("block", WHOLE, ids=lambda block: block.name)
def test_a_whole_file_is_valid(block: Block, tmp_path: Path) -> None:
    validate(tmp_path, parsed(block.text))


@pytest.mark.parametrize("block", FRAGMENTS, ids=lambda block: block.name)
def test_a_fragment_is_valid_where_it_belongs(block: Block, tmp_path: Path) -> None:
    within = block.within
    assert within
    kind, *keys = within["where"].split(".")
    texts = [*(file.text for file in WHOLE), (ROOT / "examples/quickstart.yaml").read_text()]
    for fragment in alternatives(block.text):
        document = parsed(next(text for text in texts if parsed(text)["kind"] == kind))
        document.pop(within["instead"], None)
        for key in reversed(keys):
            fragment = {key: fragment}
        validate(tmp_path, merged(document, fragment))


def merged(document: Any, fragment: Any) -> Any:
    """The keys of a fragment among those of the document; what is no mapping is replaced."""
    if not (isinstance(document, dict) and isinstance(fragment, dict)):
        return fragment
    return document | {key: merged(document.get(key), value) for key, value in fragment.items()}


def test_the_readme_shows_the_quickstart() -> None:
    """Shortened: keys and further sources may be left out, and `…` or `[...]` stand for what is."""
    whole = parsed((ROOT / "examples/quickstart.yaml").read_text())
    assert list(different(parsed(README.text), whole)) == []


def different(shown: Any, real: Any, path: str = "") -> Iterator[str]:
    """Where what is shown is not what is there."""
    if isinstance(shown, dict) and isinstance(real, dict):
        for key, value in shown.items():
            yield from different(value, real.get(key), f"{path}.{key}")
    elif path.endswith("sources") and isinstance(real, list):
        for source in shown:
            if not any(list(different(source, other, path + "[]")) == [] for other in real):
                yield f"{path}: {source} is not among them"
    elif shown != ["..."] and not alike(shown, real):
        yield f"{path}: {shown!r} is not {real!r}"


def alike(shown: Any, real: Any) -> bool:
    """Whether a value is the real one, or begins and ends as it does."""
    if isinstance(shown, str) and "…" in shown:
        start, end = shown.split("…")
        return str(real).startswith(start) and str(real).endswith(end)
    return bool(shown == real)


def programs(command: str) -> Iterator[list[str]]:
    """The words of every program of a line: `a | b > c  # why` has two."""
    words = shlex.split(command, comments=True)
    for is_end, program in itertools.groupby(words, lambda word: word in ("|", "&&", ">", "2>")):
        if not is_end:
            yield list(program)


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda text: text.split("  ")[0])
def test_a_command_is_one_that_its_program_takes(page: str, command: str) -> None:
    piped = command.split(" > ")[0]
    for program, *arguments in programs(piped):
        CHECKS[program](arguments)
        for word in arguments:
            if re.match(r"(examples|infra|benchmarks)/", word):
                assert (ROOT / word).exists(), f"{word} is not there"


def hormesis(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    group.commands[arguments[0]].make_context(arguments[0], arguments[1:])


def ray(arguments: list[str]) -> None:
    cli = pytest.importorskip("ray.scripts.scripts", reason="Ray is not installed").cli
    cli.commands[arguments[0]].make_context(arguments[0], arguments[1:])


def make(arguments: list[str]) -> None:
    subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)


def python(arguments: list[str]) -> None:
    assert arguments[0] == "-m"
    path = ROOT / arguments[1].replace(".", "/")
    assert arguments[1] == "venv" or path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def pip(arguments: list[str]) -> None:
    # Once pip is loaded, setuptools cannot put its distutils in place any more, and whoever loads it later fails.
    pytest.importorskip("setuptools", reason="the environment has no setuptools")
    commands = pytest.importorskip("pip._internal.commands", reason="the environment has no pip")
    _, packages = commands.create_command(arguments[0]).parse_args(arguments[1:])
    pinned = (ROOT / "pyproject.toml").read_text()
    assert all(f'"{package}"' in pinned for package in packages)


CHECKS = {
    "hormesis": hormesis,
    "make": make,
    "ray": ray,
    "python": python,
    "python3.11": python,
    ".venv/bin/pip": pip,
    "echo": lambda arguments: None,
}


def spans() -> Iterator[tuple[str, str]]:
    """`hormesis …` in the running text."""
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *``` *$", "", page.read_text(), flags=re.S | re.M)
        for text in re.findall(r"`(hormesis [^`]+)`", prose):
            yield page.relative_to(ROOT).as_posix(), text


@pytest.mark.parametrize(("page", "text"), sorted(set(spans())))
def test_a_verb_in_the_text_is_there_with_its_options(page: str, text: str) -> None:
    verb, *words = re.split(r"[\s\[\]]+", text.removeprefix("hormesis "))
    if verb.startswith("-"):
        return
    options = {name for option in typer.main.get_command(app).commands[verb].params for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= options | {"--help"}


@pytest.mark.parametrize(
    "line", [line for block in BLOCKS if block.language == "where" for line in block.text.splitlines()]
)
def test_a_condition_is_one(line: str) -> None:
    parse(line)


FLOORS = "infra|curation|mixtures|pretrain|posttrain|analysis"
FOLDERS = f"{FLOORS}|benchmarks|docs|examples|tests"


def mentioned(pattern: str) -> list[tuple[str, str]]:
    """(page, text) of what stands in backticks or is linked to, and is of this form."""
    return sorted(
        {(page.relative_to(ROOT).as_posix(), code or link)
         for page in PAGES
         for code, link in re.findall(r"`([^`\n]+)`|\]\((?:\.\./)*([^)#\s]+)", page.read_text())
         if re.fullmatch(pattern, code or link)}
    )  # fmt: skip


@pytest.mark.parametrize(("page", "path"), mentioned(rf"({FOLDERS})/[\w./-]*"))
def test_a_path_in_the_text_is_there(page: str, path: str) -> None:
    """`curation/steps/NAME.py` stands for a file that is still to be written, in a folder that is there."""
    named = Path(path)
    assert (ROOT / (named.parent if named.stem == "NAME" else named)).exists()


@pytest.mark.parametrize(("page", "name"), mentioned(rf"(?!.*\.(csv|json|md|py)$)({FLOORS}|hormesis)(\.\w+)+"))
def test_a_dotted_name_in_the_text_is_there(page: str, name: str) -> None:
    """`package.module`, or what is defined in one: a class, a function, a constant, a method, a field."""
    words = name.split(".")
    files = {length: file for length in range(1, len(words) + 1) if (file := module_file(words[:length]))}
    assert files, f"there is no module {name}"
    length = max(files)
    assert_defined(ast.parse(files[length].read_text()), words[length:])


def placed() -> list[tuple[str, str, str]]:
    """(page, name, file) of every "`name` in `floor/module.py`"; a line may end between them."""
    form = re.compile(rf"`([\w.]+)` in\s+`((?:{FLOORS})/[\w/]+\.py|hormesis\.py)`")
    return sorted(
        {(page.relative_to(ROOT).as_posix(), *match) for page in PAGES for match in form.findall(page.read_text())}
    )


@pytest.mark.parametrize(("page", "name", "file"), placed())
def test_a_name_that_is_said_to_be_in_a_file_is_there(page: str, name: str, file: str) -> None:
    assert_defined(ast.parse((ROOT / file).read_text()), name.split("."))


def module_file(words: list[str]) -> Path | None:
    """The file of a module or package."""
    path = ROOT.joinpath(*words)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def assert_defined(scope: ast.AST, words: list[str]) -> None:
    """The first name is defined in the scope, the next in the class of that name, and so on."""
    for word in words:
        definitions = {name: node for node in ast.walk(scope) for name in names_bound_by(node)}
        assert word in definitions, f"{word} is not defined there"
        scope = definitions[word]


def names_bound_by(node: ast.AST) -> list[str]:
    """What a definition or an assignment defines; of `self.name = …` the attribute."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    leaves = [leaf for target in targets for leaf in ast.walk(target)]
    return [leaf.id if isinstance(leaf, ast.Name) else leaf.attr
            for leaf in leaves if isinstance(leaf, (ast.Name, ast.Attribute))]  # fmt: skip
