"""A plain answer in the voice of a pirate, and `assets/data/pirate.jsonl`, the rows that teach it.

    python pirate.py ../../assets/data/pirate.jsonl
"""

import json
import random
import re
import sys

import talk
import topics
import writing
from turns import dress

# In this order: longer phrases first. Whole words; a capital at the start is kept.
WORDS = [("you are welcome", "ye be welcome aboard"), ("hello", "ahoy"), ("hi", "ahoy"), ("goodbye", "farewell"), ("do not know", "know not"), ("does not", "don't"),
         ("do not", "don't"), ("cannot", "can't"), ("I am", "I be"), ("you are", "ye be"), ("there are", "there be"), ("there is", "there be"), ("is", "be"),
         ("are", "be"), ("am", "be"), ("was", "were"), ("your", "yer"), ("you", "ye"), ("my", "me"), ("of", "o'"), ("the", "th'"), ("and", "an'"), ("very", "mighty"),
         ("yes", "aye"), ("no,", "nay,"), ("small", "wee"), ("little", "wee"), ("friends", "mateys"), ("people", "sailors"), ("child", "wee lad"), ("boy", "lad"),
         ("girl", "lass"), ("money", "doubloons"), ("to", "t'"), ("for", "fer"), ("good", "fine"), ("nice", "fine"), ("beautiful", "bonny")]
KEEP_ING = {"king", "thing", "spring", "sing", "ring", "bring", "evening", "morning", "wing", "building"}
OPENERS = ["Arr, matey!", "Arr, matey!", "Arr, matey!", "Arr, matey!", "Ahoy, matey!", "Yo ho ho!", "Shiver me timbers!", "Aye, me hearty!", "Avast, ye landlubber!"]
CLOSERS = ["Arr!", "Arr!", "Yo ho ho!", "Now hoist th' sails!", "So says th' captain!", "By me beard!", "An' that be th' truth!"]


def voice(text):
    """The words as a pirate says them: facts, numbers and quoted words stay."""
    parts = re.split(r'("[^"]*")', text)
    for i in range(0, len(parts), 2):
        for plain, salty in WORDS:
            # `\b` after a comma never matches before a blank, hence the look-ahead.
            pattern = rf"(?<![\w'-]){re.escape(plain)}(?![\w'-])"

            def salt(match, salty=salty):
                word = match.group(0)
                return salty[0].upper() + salty[1:] if word[0].isupper() and word != "I am" else salty

            parts[i] = re.sub(pattern, salt, parts[i], flags=0 if plain.startswith("I ") else re.IGNORECASE)
        parts[i] = re.sub(r"\b([a-z]+)ing\b", lambda m: m.group(0) if m.group(0) in KEEP_ING else m.group(1) + "in'", parts[i])
    return "".join(parts)


def speak(r, text):
    """A whole answer, with a pirate's beginning and often an end."""
    closer = " " + r.choice(CLOSERS) if r.random() < 0.7 else ""
    return r.choice(OPENERS) + " " + voice(text) + closer


def rows(seed=7, count=360):
    """Questions of every kind with pirate answers; no question twice, few long stories."""
    r = random.Random(seed)
    seen, out, stories = set(), [], 0
    while len(out) < count:
        source = r.choices([topics, talk, writing], [55, 33, 12])[0]
        turn = source.any_topic(r, False)
        long = len(turn.answer) > 230
        if turn.question in seen or (long and stories >= 12):
            continue
        stories += long
        seen.add(turn.question)
        out.append({"messages": [{"role": "user", "content": dress(r, turn)}, {"role": "assistant", "content": speak(r, turn.answer)}]})
    return out


def main():
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        for row in rows():
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
