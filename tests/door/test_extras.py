"""A package that an extra brings and that is not installed is one message, which names the extra."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.causal_models import save_model

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else PathFinder.find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *context):
        return (each for each in PathFinder.find_distributions(*context) if each.name not in {blocked!r})

sys.meta_path[:] = [Finder if each is PathFinder else each for each in sys.meta_path]
import hormesis
"""
COMMAND = "sys.argv = ['hormesis', *{arguments!r}]\nhormesis.main()\n"
S3, HTTP = ("s3fs", "aiobotocore", "boto3"), ("aiohttp", "requests")


def without(blocked, folder, *arguments, code=COMMAND):
    """The command, or other code, where the packages `blocked` are not installed."""
    script = WITHOUT.format(blocked=blocked) + code.format(arguments=arguments)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)  # fmt: skip


def told(done, extra):
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"pip install 'hormesis[{extra}]'" in done.stderr, done.stderr


def write(folder, path="a.jsonl", scorer=None):
    (folder / "a.jsonl").write_text('{"text": "A fine day."}\n')
    steps = [{"step": "score", "scorer": scorer}] if scorer else []
    spec = {"kind": "curation", "name": "job", "corpora": {"c": {"sources": [{"path": path}]}}, "steps": steps}
    (folder / "c.yaml").write_text(json.dumps(spec))


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("url", "blocked", "extra"), [("s3://b/a.jsonl", S3, "s3"), ("https://h/a.jsonl", HTTP, "http")]
)
def test_sources_in_a_bucket_or_on_a_web_server(tmp_path, command, url, blocked, extra):
    write(tmp_path, url)
    told(without(blocked, tmp_path, command, "c.yaml"), extra)


def test_publishing_in_a_bucket(tmp_path):
    told(without(S3, tmp_path, "copy", "s3://b/run", "here"), "s3")


def test_serving_scores(tmp_path):
    told(without(HTTP, tmp_path, "score", "--scorer", "profanity", "--serve"), "http")


def test_labels_in_a_bucket(tmp_path):
    code = ("from infra.errors import UserError\nfrom infra.artifacts.fingerprint import digest_location\n"
            "try:\n    digest_location('s3://b/labels.jsonl')\n"
            "except UserError as error:\n    sys.exit(str(error))\n")  # fmt: skip
    done = without(S3, tmp_path, code=code)
    assert "pip install 'hormesis[s3]'" in done.stderr and "Traceback" not in done.stderr


def test_workers_on_ray(tmp_path):
    write(tmp_path)
    told(without(("ray",), tmp_path, "run", "c.yaml", "--ray", "local"), "ray")


def test_a_classifier_in_onnx(tmp_path):
    code = (
        "from infra.errors import UserError\nfrom curation.classify.onnx_export import exported\n"
        "try:\n    exported(None, 'key', int8=True)\nexcept UserError as error:\n    sys.exit(str(error))\n"
    )
    done = without(("onnx", "onnxruntime", "onnxscript"), tmp_path, code=code)
    assert "pip install 'hormesis[onnx]'" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_training(tmp_path):
    code = ("from infra.errors import UserError\nfrom pretrain.training.here import train_here\n"
            "try:\n    train_here(None, None)\nexcept UserError as error:\n    sys.exit(str(error))\n")  # fmt: skip
    done = without(("megatron",), tmp_path, code=code)
    assert "pip install 'hormesis[megatron]'" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_products_in_fp8(tmp_path):
    code = ("from infra.errors import UserError\nfrom pretrain.model.projections import check_float8\n"
            "try:\n    check_float8(64, 64, 1)\nexcept UserError as error:\n    sys.exit(str(error))\n")  # fmt: skip
    done = without(("torchao",), tmp_path, code=code)
    assert "pip install 'hormesis[fp8]'" in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(("evaluation", "blocked"), [("capability", "lm_eval"), ("red_team", "nanogcg")])
def test_measuring_with_a_harness(tmp_path, evaluation, blocked):
    (tmp_path / "a.jsonl").write_text('{"text": "A fine day.", "target": "Yes"}\n')
    source = {"path": "a.jsonl"}
    section = {"tasks": [{"task": "choices", "items": source}]} if evaluation == "capability" else {"prompts": source}
    save_model(tmp_path / "model")
    spec = {"kind": "analysis", "name": "job", "model": "model", evaluation: section}
    (tmp_path / "c.yaml").write_text(json.dumps(spec))
    told(without((blocked,), tmp_path, "run", "c.yaml"), "eval")


def test_tuning(tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    method = {"name": "sft", "data": {"path": "pairs.jsonl"}}
    (tmp_path / "t.yaml").write_text(json.dumps({"kind": "tune", "model": "model", "method": method}))
    told(without(("trl",), tmp_path, "run", "t.yaml"), "tune")
