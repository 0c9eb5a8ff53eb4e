"""A question with its answer, and how a question is put: phrasings, politeness, small slips."""

from dataclasses import dataclass, field

import facts


@dataclass
class Turn:
    """One exchange. `short` is the answer in a word or two; `follow` are exchanges that only make sense after it."""

    question: str
    answer: str
    short: str = ""
    follow: list = field(default_factory=list)


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


OPENERS = ["Please tell me: ", "Can you tell me: ", "Tell me, ", "I have a question. ", "Quick question: ", "Do you know this? ",
           "Hey, ", "Hi! ", "Hello! ", "Okay, ", "So, ", "Now, ", "Please: ", "I want to know: ", "One more thing. "]


def dress(r, question):
    """The question as people type it: sometimes with an opener, a please, in lower case, without its mark, in American spelling."""
    x = r.random()
    if x < 0.12:
        opener = r.choice(OPENERS)
        keep = opener.endswith((". ", "! ", "? ")) or question.startswith(("I ", "I'"))
        question = opener + (question if keep else question[0].lower() + question[1:])
    elif x < 0.16 and question.endswith("?"):
        question = question[:-1] + ", please?"
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
