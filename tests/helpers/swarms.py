"""Made-up swarms: runs of a known log-linear law, as arrays and as the CSV files and YAML of a user."""

import json

import numpy as np

NAMES = ("books", "code", "forum", "web")
NATURAL = (0.1, 0.2, 0.1, 0.6)
SLOPES = np.array([[-2.0, 0.3, 0.5, 0.2], [0.4, -1.5, 0.6, 0.1]])
OFFSETS = np.array([1.0, 2.0])
TARGETS = ("loss", "toxicity")


def law(mixtures):
    """The true targets [n, 2] of mixtures [n, 4]."""
    return OFFSETS + np.exp(mixtures @ SLOPES.T)


def runs(count, noise=0.01, seed=0):
    """Mixtures [n, 4] and measured targets [n, 2]."""
    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet(4 * np.asarray(NATURAL) ** 0.5, count)
    return mixtures, law(mixtures) + noise * rng.standard_normal((count, 2))


def write_csv(path, columns, values, index=None):
    lines = [",".join(["index", *columns])]
    for name, row in zip(index or range(1, 1 + len(values)), values, strict=True):
        lines.append(",".join([str(name), *(repr(float(value)) for value in row)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_swarm(folder, count=40, **changes):
    """CSV files and a swarm.yaml (JSON is YAML) over them; returns its path."""
    mixtures, results = runs(count)
    write_csv(folder / "mixtures.csv", NAMES, mixtures)
    write_csv(folder / "results.csv", TARGETS, results)
    document = {
        "kind": "swarm",
        "name": "made",
        "components": {name: {"natural": share} for name, share in zip(NAMES, NATURAL, strict=True)},
        "proxies": {"mixtures": "mixtures.csv", "results": "results.csv"},
        "fit": {"responses": ["log_linear"], "folds": 4},
        "optimum": {"replicates": 40},
        **changes,
    }
    (folder / "swarm.yaml").write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return folder / "swarm.yaml"
