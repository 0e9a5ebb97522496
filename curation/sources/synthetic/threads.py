"""One thread: 3 to 8 posts, a line each, `name: text`; about half of them hold a rude clause.

The clause stands at the start, in the middle or at the end of its post. What follows takes it up: the same post comes
back to what the clause was about, and the next poster answers it by its kind (insult, profanity, threat) and its
author.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from curation.corpus.records import RawDocument
from curation.sources.synthetic.grammar import Clause, rude_clause
from curation.sources.synthetic.phrases import CALMING, OPENERS, REPLIES, RETURNS, poster, topic_of

_ENDS = (".", ".", "!", "!", "!!", "...")


@dataclass(frozen=True)
class _Post:
    """A finished post; `span` is where its rude clause stands in `text`."""

    author: str
    text: str
    topic: str
    clause: Clause | None = None
    span: tuple[int, int] | None = None
    victim: str = ""


def make_thread(sentences: Sequence[Sequence[str]], seed: int, number: int, benign: float) -> RawDocument:
    """Thread `number` of a seed; the same arguments give the same text. `sentences` are grouped by what they are
    about.
    """
    rng = random.Random(f"hormesis-forum:{seed}:{number}")
    names = _names(rng)
    posts: list[_Post] = []
    for _ in range(rng.randint(3, 8)):
        author, other = rng.sample([name for name in names if not posts or name != posts[-1].author], 2)
        posts.append(_post(author, other, posts, sentences, rng, rude=rng.random() >= benign))
    return _document(posts, seed, number)


def _names(rng: random.Random) -> list[str]:
    """Three to five different posters."""
    names: set[str] = set()
    count = rng.randint(3, 5)
    while len(names) < count:
        names.add(poster(rng))
    return sorted(names)


def _post(
    author: str, other: str, posts: list[_Post], pool: Sequence[Sequence[str]], rng: random.Random, *, rude: bool
) -> _Post:
    """The next post: an answer to the last one, or the first, which speaks to `other` if it speaks to anybody."""
    group = rng.choice(pool)
    first = rng.randrange(len(group))
    quoted = group[first : first + rng.randint(1, 2)]
    if posts:
        topic, who, lead = posts[-1].topic, posts[-1].author, _answer(author, posts[-1], rng)
    else:
        topic, who = topic_of(quoted[0], rng), other
        lead = _filled(rng.choice(OPENERS), topic, who)
    if rude:
        return _rude_post(author, who, topic, lead, min(quoted, key=len), rng)
    next_topic = topic_of(quoted[-1], rng) if rng.random() < 0.5 else topic
    return _Post(author, " ".join([lead, *quoted]), next_topic)


def _rude_post(author: str, who: str, topic: str, lead: str, quoted: str, rng: random.Random) -> _Post:
    """A clause and at most two sentences around it."""
    clause = rude_clause(rng, who, topic)
    follow = _filled(rng.choice(RETURNS), clause.topic or topic, who)
    rude = clause.text + rng.choice(_ENDS)
    before, after = {
        "start": ([], [rng.choice([follow, quoted])]),
        "middle": ([rng.choice([lead, quoted])], [follow]),
        "end": ([rng.choice([lead, quoted])], []),
    }[rng.choice(["start", "middle", "end"])]
    start = sum(len(piece) + 1 for piece in before)
    span = (start, start + len(clause.text))
    return _Post(author, " ".join([*before, rude, *after]), topic, clause, span, who)


def _answer(author: str, last: _Post, rng: random.Random) -> str:
    """What a poster says first to the post before: to a rude one, mostly something that fits its kind."""
    if last.clause is not None and rng.random() < 0.8:
        fitting = [line for line in CALMING[last.clause.kind] if author != last.victim or "{other}" not in line]
        return _filled(rng.choice(fitting).replace("{other}", last.victim), last.topic, last.author)
    return _filled(rng.choice(REPLIES), last.topic, last.author)


def _filled(template: str, topic: str, who: str) -> str:
    """A template with its slots filled, and a capital in front."""
    text = template.replace("{topic}", topic).replace("{who}", who)
    return text[:1].upper() + text[1:]


def _document(posts: list[_Post], seed: int, number: int) -> RawDocument:
    lines, spans, kinds, offset = [], [], [], 0
    for post in posts:
        prefix = f"{post.author}: "
        if post.span is not None and post.clause is not None:
            spans.append([offset + len(prefix) + edge for edge in post.span])
            kinds.append(post.clause.kind)
        lines.append(prefix + post.text)
        offset += len(lines[-1]) + 1
    metadata = {"synthetic": True, "gold_spans": spans, "gold_kinds": kinds}
    return RawDocument(f"forum-{seed}-{number:07d}", "\n".join(lines), "synthetic:forum", metadata)
