"""`kind: swarm` through the front door: design, fit, predict, show, plan, lineage, resume, and every refusal.

Covers mixtures.swarm.artifact_files, mixtures.swarm.doubts, mixtures.swarm.drawings, mixtures.swarm.page,
mixtures.swarm.plan, mixtures.swarm.record, mixtures.swarm.spec, mixtures.swarm.stage, mixtures.swarm.fitting.choose,
mixtures.swarm.fitting.fit and mixtures.swarm.fitting.fitted.
"""

import json
import sys

import numpy as np
import pytest

import hormesis
from infra.config.spec import load_spec
from infra.errors import ConfigError
from mixtures.swarm.spec import SwarmSpec
from tests.helpers.swarms import NAMES, NATURAL, TARGETS, law, runs, write_csv, write_swarm

DESIGN = {"proxies": None, "fit": None, "optimum": None, "sample": {"runs": 12}}


@pytest.fixture
def door(tmp_path, monkeypatch, capsys):
    """Run the command line in `tmp_path`; returns exit code, standard output and the error text on one line."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hormesis", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            hormesis.main()
        caught = capsys.readouterr()
        return left.value.code or 0, caught.out, " ".join(caught.err.split())

    return call


def record_of(folder):
    return json.loads((folder / "swarm.json").read_text())


def test_a_swarm_is_planned_run_shown_and_traced(door, tmp_path):
    unseen, measured = runs(20, seed=8)
    write_csv(tmp_path / "more.csv", NAMES, unseen)
    write_csv(tmp_path / "more-results.csv", TARGETS, measured)
    write_swarm(tmp_path, check={"mixtures": "more.csv", "results": "more-results.csv"})
    code, out, _ = door("plan", "swarm.yaml")
    assert code == 0 and "runs to fit" in out and "40" in out
    assert door("run", "swarm.yaml", "--workers", 1)[0] == 0
    folder = tmp_path / "runs" / "made"
    record = record_of(folder)
    assert [target["name"] for target in record["targets"]] == list(TARGETS)
    assert all(
        target["spearman"]["log_linear"] > 0.9 and target["check_spearman"] > 0.9 for target in record["targets"]
    )
    assert sum(row["optimum"] for row in record["shares"].values()) == pytest.approx(1)
    code, out, _ = door("show", folder)
    page = (tmp_path / "runs" / "made.html").read_text()
    assert code == 0 and "solved exactly" in out and "gain" in out
    assert page.count("<svg") == 1 + 2 * len(TARGETS) and "Check runs" in page
    code, out, _ = door("lineage", folder)
    assert code == 0 and "proxies.results" in out and "check.mixtures" in out


def test_predictions_for_new_mixtures_are_near_the_truth_and_keep_order_and_names(door, tmp_path):
    write_swarm(tmp_path)
    door("run", "swarm.yaml", "--workers", 1)
    unseen, _ = runs(9, seed=4)
    write_csv(tmp_path / "new.csv", NAMES[::-1], unseen[:, ::-1] * 0.997, index=list("ihgfedcba"))
    assert door("predict", "runs/made", "--mixtures", "new.csv", "--out", "out.csv")[0] == 0
    head, *lines = (tmp_path / "out.csv").read_text().splitlines()
    assert head == "index,loss,toxicity" and [line.split(",")[0] for line in lines] == list("ihgfedcba")
    predicted = np.array([[float(cell) for cell in line.split(",")[1:]] for line in lines])
    np.testing.assert_allclose(predicted, law(unseen), atol=0.05)
    assert door("predict", "runs/made", "--mixtures", "runs/made/proposed.csv", "--out", "best.csv")[0] == 0
    targets = record_of(tmp_path / "runs/made")["targets"]
    best = (tmp_path / "best.csv").read_text().splitlines()[2].split(",")
    assert best[0] == "optimum"
    assert [float(cell) for cell in best[1:]] == pytest.approx([target["at_optimum"] for target in targets], rel=1e-12)


def test_the_same_swarm_gives_the_same_bytes_and_is_not_done_twice(door, tmp_path):
    write_swarm(tmp_path, fit={"responses": ["log_linear", "trees"], "folds": 2})
    for out in ("one", "two"):
        assert door("run", "swarm.yaml", "--out", out, "--workers", 1)[0] == 0
    files = [json.loads((tmp_path / out / "artifact.json").read_text())["files"] for out in ("one", "two")]
    assert files[0] == files[1] and "models.npz" in files[0]
    before = (tmp_path / "one" / "artifact.json").stat().st_mtime_ns
    door("run", "swarm.yaml", "--out", "one", "--workers", 1)
    assert (tmp_path / "one" / "artifact.json").stat().st_mtime_ns == before


def test_other_results_are_another_swarm(door, tmp_path):
    write_swarm(tmp_path)
    door("run", "swarm.yaml", "--workers", 1)
    write_csv(tmp_path / "results.csv", TARGETS, runs(40)[1] + 1)
    door("run", "swarm.yaml", "--workers", 1)
    assert len([path for path in (tmp_path / "runs").iterdir() if path.name.startswith("made")]) == 2


def test_a_maximised_target_is_the_minimised_one_turned_round(door, tmp_path):
    write_swarm(tmp_path, targets={"toxicity": {"goal": "minimise"}}, optimum={"replicates": 20, "penalty": 0.2})
    door("run", "swarm.yaml", "--out", "down", "--workers", 1)
    write_csv(tmp_path / "results.csv", ("benign",), 20 - runs(40)[1][:, 1:])
    document = json.loads((tmp_path / "swarm.yaml").read_text())
    (tmp_path / "swarm.yaml").write_text(json.dumps({**document, "targets": {"benign": {"goal": "maximise"}}}))
    door("run", "swarm.yaml", "--out", "up", "--workers", 1)
    down, up = (record_of(tmp_path / name) for name in ("down", "up"))
    for name in NAMES:
        assert up["shares"][name]["optimum"] == pytest.approx(down["shares"][name]["optimum"], abs=0.05)
    assert up["targets"][0]["at_optimum"] > up["targets"][0]["at_natural"]


def test_a_design_is_written_shown_and_refused_for_predictions(door, tmp_path):
    write_swarm(tmp_path, **DESIGN)
    assert door("plan", "swarm.yaml")[0] == 0
    assert door("run", "swarm.yaml", "--workers", 1)[0] == 0
    lines = (tmp_path / "runs/made/mixtures.csv").read_text().splitlines()
    assert lines[0] == "index," + ",".join(NAMES) and len(lines) == 13
    assert lines[1] == "1," + ",".join(map(str, NATURAL))
    assert "design of 12 mixtures" in door("show", "runs/made")[1]
    code, _, message = door("predict", "runs/made", "--mixtures", "runs/made/mixtures.csv", "--out", "out.csv")
    assert code == 2 and "is a design without results" in message and not (tmp_path / "out.csv").exists()


def test_bad_runs_are_refused_with_their_lines_by_plan_and_run_and_leave_nothing(door, tmp_path):
    write_swarm(tmp_path)
    text = (tmp_path / "results.csv").read_text().replace("\n3,", "\n3,x", 1)
    (tmp_path / "results.csv").write_text(text)
    for verb in (("plan",), ("run", "--workers", 1)):
        code, _, message = door(verb[0], "swarm.yaml", *verb[1:])
        assert code == 2 and "results.csv:4: loss:" in message
    assert not (tmp_path / "runs" / "made").exists()


def test_mixtures_that_do_not_fit_are_refused_and_nothing_is_written(door, tmp_path):
    write_swarm(tmp_path)
    door("run", "swarm.yaml", "--workers", 1)
    write_csv(tmp_path / "new.csv", ("books", "code", "forum", "wab"), runs(3)[0])
    code, _, message = door("predict", "runs/made", "--mixtures", "new.csv", "--out", "out.csv")
    assert code == 2 and "new.csv:1: web: the component has no column" in message
    assert not (tmp_path / "out.csv").exists()


def test_too_few_runs_are_refused(door, tmp_path):
    write_swarm(tmp_path, count=5)
    code, _, message = door("run", "swarm.yaml", "--workers", 1)
    assert code == 2 and "5 runs" in message and "at least 6" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample": {"runs": 3}}, "exactly one of"),
        ({"proxies": None}, "exactly one of"),
        ({**DESIGN, "targets": {"loss": {}}}, "targets: belong to `proxies`"),
        ({"components": {"a": {"natural": 0.5}, "b": {"natural": 0.4}}}, "sum to 0.9"),
        ({"components": {"a": {"natural": 0.5}, "b": {"tokens": 4}}}, "for every one"),
        ({"components": {"a": {"natural": 0.5, "cap": 0.3}, "b": {"natural": 0.5, "cap": 0.3}}}, "0.6 of a mixture"),
        ({"components": {"a": {"natural": 0.5, "floor": 0.6}, "b": {"natural": 0.5, "floor": 0.6}}}, "floors sum"),
        ({"components": {"a": {"natural": 0.5, "floor": 0.6, "cap": 0.5}, "b": {"natural": 0.5}}}, "components.a"),
        ({"limits": {"training_tokens": 100}}, "tokens"),
        ({"limits": {"max_epochs": 2}}, "training_tokens"),
        ({"targets": {"loss": {"weight": 0}}}, "weight above 0"),
        ({"fit": {"responses": ["tree"]}}, 'did you mean "trees"'),
        ({**DESIGN, "sample": {"runs": 3, "strengths": [5, 0.1]}}, "the lower first"),
    ],
)
def test_what_the_yaml_says_wrong_is_refused(tmp_path, changes, words):
    path = write_swarm(tmp_path, **changes)
    with pytest.raises(ConfigError) as error:
        load_spec(path, {"swarm": lambda: SwarmSpec}, [])
    assert words in str(error.value), str(error.value)


def test_names_are_escaped_on_the_page(door, tmp_path):
    write_swarm(tmp_path)
    text = (tmp_path / "results.csv").read_text().replace("toxicity", "<b>toxicity</b>")
    (tmp_path / "results.csv").write_text(text)
    door("run", "swarm.yaml", "--workers", 1)
    door("show", "runs/made")
    page = (tmp_path / "runs" / "made.html").read_text()
    assert "<b>toxicity" not in page and "&lt;b&gt;toxicity" in page
