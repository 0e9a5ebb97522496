"""What polite posters say, and how a post is cut out of real sentences."""

from __future__ import annotations

import random
import re

NAMES = (
    "anna", "bert", "carla", "deniz", "elif", "farid", "greta", "hugo", "ines", "jonas", "kofi", "lena", "marta",
    "nils", "olga", "pavel", "quinn", "rosa", "sven", "tara", "umar", "vera", "willem", "xenia", "yusuf", "zoe",
    "amara", "boris", "chloe", "dario", "emil", "fatima", "gus", "hana", "ivan", "june", "kira", "liam", "mina",
    "noor",
)  # fmt: skip
_TAILS = (
    "", "", "_k", "_b", "_m", "77", "84", "91", "2000", "_online", "_reads", "fan", "_nl", "_uk", "_home", "42", "x",
)  # fmt: skip

OPENERS = (
    "Can anyone help me with this?", "I read this today.", "I have been thinking about {topic}.", "New here, hello.",
    "What do you all think about {topic}?", "Here is something about {topic}.", "Does this sound right to you?",
    "I found this and wanted to share it.", "Something I cannot explain about {topic}.", "Let me start with {topic}.",
    "I would like your opinion on {topic}.", "Please read this first.", "Today I learned something.", "About {topic}:",
)  # fmt: skip
REPLIES = (
    "I agree with {who} about {topic}.", "That is a good point, {who}.", "Thanks for the post, {who}.",
    "I see {topic} in another way, {who}.", "{who}, do you mean {topic}?", "I was thinking of {topic} too.",
    "As {who} wrote, this is about {topic}.", "To come back to {topic}:", "I had the same question about {topic}.",
    "Good to know, {who}.", "Interesting, I did not know that about {topic}.",
    "{who}, could you tell us more about {topic}?", "Not sure about {topic}, but here is another one.",
    "Yes, {topic} is what I noticed as well.", "Same here, {who}.",
    "My friend said something like that about {topic}.", "{who}, where did you read about {topic}?",
    "Let me add to that.", "It depends on {topic}, I think.", "There is more to {topic} than that.",
    "I would not worry about {topic}, {who}.",
)  # fmt: skip
CALMING = {
    "insult": (
        "{who}, calling people names does not help.", "No need to be rude, {who}.",
        "{who}, please be kind to each other.", "We can talk about {topic} without name-calling, {who}.",
        "That was unfair to {other}, {who}.", "{other}, do not listen to {who}.",
        "Please say sorry to {other}, {who}.", "{who}, {other} only asked about {topic}.",
    ),
    "profanity": (
        "{who}, please mind your language.", "Less swearing, please, {who}.",
        "{who}, you can say that in other words.", "Mind the words, {who}, and let us go back to {topic}.",
        "{who}, there are children reading about {topic} here.", "No swearing in this forum, {who}.",
        "I am sorry that {topic} upsets you, {who}.",
    ),
    "threat": (
        "{who}, nobody may write things like that here.", "I have reported that message, {who}.",
        "{other}, are you all right?", "Please calm down, {who}.", "{who}, this will be deleted by the moderators.",
        "Let us all stay calm, it is only about {topic}.", "{other}, stay safe and ignore {who}.",
    ),
}  # fmt: skip
RETURNS = (
    "This was about {topic}.", "Read it again: it says {topic}.", "Look at {topic} once more.",
    "We were talking about {topic}.", "So much for {topic}.", "Everybody else understood {topic}.",
    "I only say what I think of {topic}.", "That is all there is to say about {topic}.", "And now back to {topic}.",
    "You started with {topic}, not me.",
)  # fmt: skip

_PHRASE = re.compile(
    r"\b(?:the|a|an|his|her|their|my|our) (?:[a-z]{3,} )?[a-z]{3,}"
    r"(?=[.,;!?]| (?:of|in|on|at|to|with|for|and|is|was|are|were|has|that|which|who|from|by|as|will|can)\b)"
)


def poster(rng: random.Random) -> str:
    """A user name."""
    return rng.choice(NAMES) + rng.choice(_TAILS)


def topic_of(sentence: str, rng: random.Random) -> str:
    """Words of a sentence to talk about: a noun phrase where one can be told, else a short quotation."""
    if phrases := _PHRASE.findall(sentence):
        return str(rng.choice(phrases))
    words = sentence.rstrip(".!?").split()
    start = rng.randrange(max(len(words) - 3, 1))
    return '"' + " ".join(words[start : start + 3]).strip('",;:') + '"'
