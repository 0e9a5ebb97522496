"""The grammar of rude clauses: insults, profanity and vague threats aimed at a person or a post. No slurs against
groups.

A clause is a template whose slots are filled at random, so that there are far more forms than a corpus has clauses.
Every clause has a word that is rude by itself: the word-based scorer must be able to see it. Clauses speak of
`{topic}`, words of the thread, which the rest of the post takes up again: who reads the clause can predict better
what follows.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

KINDS = ("insult", "profanity", "threat")

_LEXICON: dict[str, tuple[str, ...]] = {
    "noun": (
        "idiot", "moron", "imbecile", "dumbass", "bastard", "asshole", "dipshit", "dickhead", "jerk", "hypocrite",
        "loser", "jackass", "coward", "shithead", "scumbag", "wanker",
    ),
    "mild": (
        "clown", "dimwit", "halfwit", "buffoon", "blockhead", "numbskull", "windbag", "nitwit", "dunce", "muppet",
        "fool", "liar", "cretin", "crybaby", "pig", "rat", "douchebag", "parrot", "troll", "twit", "freak",
        "waste of space", "sack of hot air", "prick", "tosser",
    ),
    "strong": ("stupid", "dumb", "pathetic", "idiotic", "moronic", "shitty", "goddamn", "dumb-ass"),
    "soft": (
        "clueless", "brainless", "useless", "worthless", "lazy", "rotten", "smug", "ignorant", "arrogant", "hopeless",
        "spineless", "gutless", "whining", "two-faced", "miserable", "shameless", "thick-headed", "self-righteous",
        "crappy", "disgusting", "bloody", "damn", "ugly", "lousy", "filthy",
    ),
    "very": (
        "complete", "total", "utter", "absolute", "real", "certified", "world-class", "first-rate", "perfect",
        "typical", "proper", "massive", "gigantic", "pure", "prize", "full-time", "lifelong",
    ),
    "rubbish": (
        "crap", "bullshit", "shit", "stupid garbage", "stupid nonsense", "dumb drivel", "idiotic rubbish",
        "pathetic babble", "moronic noise", "damn trash", "worthless crap",
    ),
    "writing": (
        "post", "comment", "argument", "answer", "question", "reply", "opinion", "theory", "advice", "excuse",
        "message", "point", "story", "rant",
    ),
    "talk": (
        "go on about", "lecture us on", "write about", "bring up", "cry about", "ask about", "brag about",
        "preach about", "lie about", "post about", "babble about", "complain about",
    ),
    "again": ("again", "one more time", "once more", "here again", "ever again", "in this thread again", "tomorrow"),
    "oath": (
        "damn it", "for hell's sake", "holy shit", "oh crap", "bloody hell", "goddamn it", "what the shit",
        "well, shit", "damn this crap", "hell no", "screw this shit", "shit",
    ),
    "hurt": (
        "kick your dumb ass", "beat the crap out of you", "smash your stupid face", "shut your stupid mouth",
        "kick your sorry ass, {noun}", "beat your ugly face in, {noun}", "knock your stupid teeth out, {noun}",
        "make you suffer, you {noun}", "break your dumb nose, {noun}", "beat the shit out of you",
        "slap you silly, {noun}", "throw your stupid ass out",
    ),
    "warn": (
        "you are dead, {noun}", "you will regret it, {noun}", "you will be sorry, {noun}",
        "I will make you pay, {noun}", "you are a dead {noun}", "your stupid ass is finished",
        "it will hurt like hell, {noun}", "I will come after you, {noun}",
    ),
    "insultee": (
        "{strong} {noun}", "{strong} {noun}", "{soft} {noun}", "{very} {noun}", "{very} {strong} {noun}", "{noun}",
        "{strong} {mild}", "{soft}, {strong} {mild}", "{strong}, {soft} {noun}", "{very} {soft} {noun}",
    ),
}  # fmt: skip

_CLAUSES: dict[str, tuple[str, ...]] = {
    "insult": (
        "you {insultee}", "you are AN {insultee}", "what AN {insultee} you are", "{who}, you are AN {insultee}",
        "only AN {insultee} would {talk} {topic}", "you sound like AN {insultee} when you {talk} {topic}",
        "nobody asked AN {insultee} like you to {talk} {topic}", "shut up about {topic}, you {insultee}",
        "your {writing} about {topic} is {rubbish}", "stop being such AN {insultee} about {topic}",
        "{who} is AN {insultee} and knows nothing about {topic}", "trust AN {insultee} like {who} to {talk} {topic}",
        "how {strong} do you have to be to {talk} {topic}, {noun}",
        "your {strong} {writing} proves you are AN {insultee}",
        "go away, you {insultee}, nobody wants to hear about {topic}", "I have never met such AN {insultee} as {who}",
        "you {insultee}, you did not even read about {topic}", "{who} writes like AN {insultee}",
        "even AN {strong} {mild} knows more about {topic} than you, {noun}",
        "you are too {strong} to {talk} {topic}, {noun}",
        "that {strong} {writing} about {topic} is typical of AN {insultee}", "get lost, {strong} {noun}",
    ),
    "profanity": (
        "{oath}, not {topic} again", "who gives a damn about {topic}, {noun}", "{topic} is a load of {rubbish}",
        "what the hell is {topic} supposed to mean, {noun}", "nobody gives a shit about {topic}",
        "I am so damn tired of {rubbish} about {topic}", "this {strong} {writing} about {topic} is total {rubbish}",
        "{oath}, {who}, what kind of {rubbish} is that", "to hell with {topic} and your {strong} {writing}",
        "you can shove {topic} up your ass", "cut the {rubbish} about {topic}", "{topic} my ass",
        "why the hell would you {talk} {topic}, {noun}", "that {writing} about {topic} is {rubbish}, {oath}",
        "what a shitty thing to {talk}, you {noun}", "{topic} sucks like hell, {noun}",
        "take your {strong} {writing} about {topic} and go to hell", "{oath}, I do not care about {topic}",
        "all this {rubbish} about {topic} is so damn boring", "I am pissed off, {oath}, {topic} is {rubbish}",
    ),
    "threat": (
        "{talk} {topic} {again} and I will {hurt}", "I will {hurt} if you {talk} {topic} {again}",
        "if I hear about {topic} {again}, {warn}", "{who}, I am going to {hurt}", "say that {again} and I will {hurt}",
        "keep it up and {warn}", "I swear I will {hurt} over {topic}", "wait until I find you, {who}, I will {hurt}",
        "I know where you live, you {insultee}", "watch your back, {who}, you {insultee}",
        "one more {strong} {writing} about {topic} and {warn}", "next time I see {who} I will {hurt}",
        "you had better hide, {noun}, because I will {hurt}", "I hope you die alone, you {insultee}",
    ),
}  # fmt: skip

_COMMON = frozenset((
    "a", "about", "again", "after", "air", "and", "are", "be", "break", "come", "dead", "down", "face", "finished",
    "for", "him", "hot", "i", "in", "is", "it", "like", "make", "me", "no", "noise", "nose", "of", "off", "oh", "out",
    "pay", "s", "sake", "sorry", "space", "the", "this", "throw", "to", "up", "waste", "well", "what", "will", "you",
    "your",
))  # fmt: skip
"""Words of the lexicon that are harmless by themselves."""

_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\bAN (?=(\w))")


@dataclass(frozen=True)
class Clause:
    """A rude clause, its kind, and the words of the thread that it speaks of (None where it speaks of none)."""

    text: str
    kind: str
    topic: str | None


def rude_clause(rng: random.Random, who: str, topic: str) -> Clause:
    """Draw a clause aimed at the poster `who` about `topic`."""
    kind = rng.choices(KINDS, weights=(5, 3, 2))[0]
    template = rng.choice(_CLAUSES[kind])
    text = _fill(template, rng, {"who": who, "topic": topic})
    return Clause(text[0].upper() + text[1:], kind, topic if "{topic}" in template else None)


def rude_words() -> frozenset[str]:
    """Every word of the lexicon that is rude; clean sentences that hold one of them are not used."""
    slots = ("noun", "mild", "strong", "rubbish", "oath", "hurt", "warn")
    words = {word for slot in slots for entry in _LEXICON[slot] for word in re.findall(r"[a-z]+", entry.lower())}
    return frozenset(words - _COMMON - _LEXICON.keys())


def _fill(template: str, rng: random.Random, values: dict[str, str]) -> str:
    """Replace slots until none is left; given values are put in last, since they may hold braces themselves."""
    while slots := [slot for slot in _SLOT.findall(template) if slot not in values]:
        template = template.replace("{" + slots[0] + "}", rng.choice(_LEXICON[slots[0]]), 1)
    template = _SLOT.sub(lambda match: values[match[1]], template)
    return _ARTICLE.sub(lambda match: "an " if match[1] in "aeiouAEIOU" else "a ", template)
