"""Conversations: the topics put together with system prompts, follow-up questions and things to remember.

    python text.py 20          prints 20 conversations
"""

import json
import random
import sys

import facts
import pirate
import talk
import topics
import writing
from turns import cap, dress

SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.", "You are tiny-chat, a very small and friendly model.",
           "You answer simple questions.", "Answer in a friendly way.", "Be kind and brief.", "Answer the question.", "You are a helpful and polite assistant.",
           "Give short answers."]
ONE_WORD = ["Answer with one word.", "Use one word only.", "Answer in one word.", "One word, please."]
PIRATE = ["Talk like a pirate.", "You are a pirate.", "Answer like a pirate.", "Speak like a pirate."]


def any_turn(r, held):
    """An exchange from one of the three groups."""
    source = r.choices([topics, talk, writing], [62, 28, 10])[0]
    return source.any_topic(r, held)


def say(messages, question, answer):
    messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def one_word(r, held):
    """A question whose answer is asked for in one word, by the system prompt or in the question."""
    while not (turn := topics.any_topic(r, held)).short:
        pass
    messages, rule, answer = [], r.choice(ONE_WORD), cap(turn.short) + "."
    where = r.randrange(3)
    if where == 0:
        messages.append({"role": "system", "content": rule})
        say(messages, dress(r, turn), answer)
    else:
        say(messages, f"{turn.question} {rule}" if where == 1 else f"{rule} {turn.question}", answer)
    return messages


def as_pirate(r, held):
    """An answer in another voice, because the conversation asks for it. Without being asked the model speaks plainly."""
    turn, rule = any_turn(r, held), r.choice(PIRATE)
    messages, answer = [], pirate.speak(r, turn.answer)
    if r.random() < 0.6:
        messages.append({"role": "system", "content": rule})
        say(messages, dress(r, turn), answer)
    else:
        say(messages, f"{rule} {turn.question}", answer)
    return messages


def persona(r, held):
    """The system prompt gives the model a name."""
    name = r.choice(facts.NAMES)
    messages = [{"role": "system", "content": r.choice([f"You are {name}, a helpful assistant.", f"Your name is {name}.", f"You are {name}, a friendly assistant."])}]
    if r.random() < 0.4:
        turn = any_turn(r, held)
        say(messages, dress(r, turn), turn.answer)
    say(messages, r.choice(["Who are you?", "What is your name?", "What should I call you?", "Do you have a name?"]), f"My name is {name}. How can I help you?")
    return messages


def conversation(r, held=False):
    """One conversation as a list of messages; `held` uses the phrasings that training never sees."""
    kind = r.random()
    if kind < 0.06:
        return one_word(r, held)
    if kind < 0.10:
        return as_pirate(r, held)
    if kind < 0.12:
        return persona(r, held)
    messages = [{"role": "system", "content": r.choice(SYSTEMS)}] if r.random() < 0.25 else []
    count = r.choices([1, 2, 3, 4], [46, 27, 17, 10])[0]
    told = talk.memory(r) if count > 1 and r.random() < 0.3 else None
    tell_at = r.randrange(count - 1) if told else -1
    ask_at = r.randrange(tell_at + 1, count) if told else -1
    budget = 900  # letters, so that no conversation outgrows the context
    for i in range(count):
        if i == tell_at:
            say(messages, told[0], told[1])
        elif i == ask_at:
            say(messages, told[2], told[3])
        else:
            turn = any_turn(r, held)
            if i and turn.question in ("Who am I?", "What is my name?"):
                continue
            budget -= len(turn.answer)
            if budget < 0:
                break
            say(messages, dress(r, turn), turn.answer)
            if turn.follow and count > 1 and r.random() < 0.5:
                say(messages, *r.choice(turn.follow))
    return messages if any(m["role"] == "assistant" for m in messages) else conversation(r, held)


def main():
    r = random.Random(1)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(json.dumps(conversation(r), ensure_ascii=False))


if __name__ == "__main__":
    main()
