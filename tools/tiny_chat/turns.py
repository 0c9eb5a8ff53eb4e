"""A question with its answer, and how a question is put: phrasings, politeness, small slips."""

import re
from dataclasses import dataclass, field

import facts


@dataclass
class Turn:
    """One exchange. `short` is the answer in a word or two; `follow` are exchanges that only make sense after it."""

    question: str
    answer: str
    short: str = ""
    follow: list = field(default_factory=list)
    keywords: bool = False  # the question is understood by its keywords: small words may be missing


def pick(r, held, forms):
    """A phrasing. Those that begin with `~` are held out: never trained on, used to check that the model generalises."""
    kept = [f for f in forms if f.startswith("~") == held]
    if not kept:
        kept = [f for f in forms if not f.startswith("~")]
    return r.choice(kept).lstrip("~")


def ask(r, held, forms, **slots):
    """A phrasing with its slots filled."""
    return pick(r, held, forms).format(**slots)


def a(noun):
    """The noun with its article: an apple."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def bare(noun):
    """The noun without its article."""
    for article in ("a ", "an ", "the "):
        if noun.startswith(article):
            return noun[len(article):]
    return noun


PLURALS = {s: p for s, p in facts.IRREGULAR}


def plural(noun):
    """The plural, irregular ones included."""
    return PLURALS.get(noun, noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s"))


def cap(text):
    """First letter in upper case."""
    return text[:1].upper() + text[1:]


FRAMES = ["Please tell me: {l}", "Can you tell me: {l}", "Tell me, {l}", "I have a question. {q}", "Quick question: {l}", "Do you know this? {q}", "Hey, {l}",
          "Hi! {q}", "Hello! {q}", "Okay, {l}", "So, {l}", "Now, {l}", "Please: {l}", "I want to know: {l}", "One more thing. {q}", "Answer this: {l}",
          "My friend asks: {l}", "{q} Do you know?", "{q} Tell me!", "{q} I want to know.", "{q} I am curious.", "{q} Thanks!", "Listen: {l}", "Next question: {l}",
          "Here is a question: {l}", "Well, {l}", "Oh, {l}", "Hm, {l}", "Good. {q}", "Thanks. {q}", "My child wants to know: {l}", "Excuse me, {l}"]
# "What is the capital of France?" asked in other ways.
WHAT_IS = ["Can you tell me {x}?", "I would like to know {x}.", "Tell me {x}, please.", "{X}?", "{X}, please.", "I want to know what {x} is.",
           "Can you tell me what {x} is?", "Could you tell me {x}?", "Tell me what {x} is.", "I need to know what {x} is.", "Please say what {x} is."]
SMALL_WORDS = {"the", "a", "an", "is", "are", "of", "does", "do", "me", "you", "can", "please", "what", "which", "i", "to", "for", "in"}


def cut(r, question):
    """The question as somebody in a hurry types it: "capital France?"."""
    kept = [w for w in question.split(" ") if w.lower() not in SMALL_WORDS or r.random() > 0.4]
    return " ".join(kept) if kept else question


def slip(r, question):
    """One letter too few, or two exchanged, in one of the longer words."""
    found = [m for m in re.finditer(r"[a-z]{5,}", question)]
    if not found:
        return question
    m = r.choice(found)
    i = r.randrange(m.start() + 1, m.end() - 2)
    middle = question[i + 1] + question[i] if r.random() < 0.5 else question[i]
    return question[:i] + middle + question[i + 2:]


def dress(r, turn):
    """The question as people type it: framed, shortened, with a slip, in lower case, without its mark, in American spelling."""
    question = turn.question
    what = re.fullmatch(r"What is (the [^?,]+)\?", question)
    if what and r.random() < 0.25:
        question = r.choice(WHAT_IS).format(x=what[1], X=cap(what[1]))
    x = r.random()
    if x < 0.16:
        lower = question if question.startswith(("I ", "I'")) else question[0].lower() + question[1:]
        question = r.choice(FRAMES).format(q=question, l=lower)
    elif x < 0.20 and question.endswith("?"):
        question = question[:-1] + ", please?"
    if turn.keywords:
        x = r.random()
        if x < 0.05:
            question = cut(r, question)
        elif x < 0.08:
            question = slip(r, question)
    x = r.random()
    if x < 0.08:
        question = question.lower()
    if x > 0.92 and question[-1] in "?.":
        question = question[:-1]
    if r.random() < 0.4:
        question = question.replace("colour", "color").replace("grey", "gray").replace("favourite", "favorite")
    if r.random() < 0.3:
        question = question.replace("What is ", "What's ").replace("I am ", "I'm ").replace("Who is ", "Who's ")
    return question
