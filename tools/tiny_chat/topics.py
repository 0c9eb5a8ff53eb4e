"""Topics that have an answer: each function draws one question of its kind with the answer."""

import facts
from turns import Turn, a, ask, bare, cap, plural


def colour(r, held):
    thing, c = r.choice(facts.COLOURS)
    q = ask(r, held, ["What is the colour of {x}?", "What colour is {x}?", "Which colour does {x} have?", "Tell me the colour of {x}.",
                      "What colour does {x} have?", "{X} has which colour?", "~Do you know the colour of {x}?",
                      "~Which colour is {x}?"], x=thing, X=cap(thing))
    answer = ask(r, False, ["{X} is {c}.", "{X} is {c}.", "The colour of {x} is {c}."], X=cap(thing), x=thing, c=c)
    other, oc = r.choice(facts.COLOURS)
    return Turn(q, answer, c, [(f"And {other}?", f"{cap(other)} is {oc}."), (f"What about {other}?", f"{cap(other)} is {oc}.")])


def mix(r, held):
    x, y, c = r.choice(facts.MIXES)
    if r.random() < 0.5:
        x, y = y, x
    q = ask(r, held, ["What do you get when you mix {x} and {y}?", "Which colour do {x} and {y} make?", "What colour is {x} mixed with {y}?",
                      "If I mix {x} and {y}, what do I get?", "Mix {x} and {y}.", "{x} and {y} together make which colour?", "What colour comes out of {x} and {y}?", "~What happens when I mix {x} with {y}?"], x=x, y=y)
    return Turn(q, f"When you mix {x} and {y}, you get {c}.", c)


def opposite(r, held):
    x, y = r.choice(facts.OPPOSITES)
    if x not in facts.ONE_WAY and r.random() < 0.5:
        x, y = y, x
    elif x in facts.ONE_WAY:
        y = {"new": "old", "heavy": "light", "long": "short", "find": "lose"}[x]
    q = ask(r, held, ["What is the opposite of {x}?", "Tell me the opposite of {x}.", "What is {x} the opposite of?", "If something is not {x}, it is what?", "Say the opposite of {x}.", "What is the opposite of the word {x}?",
                      "Which word is the opposite of {x}?", "Opposite of {x}?", "Give me the opposite of {x}.",
                      "~Do you know the opposite of {x}?", "~I need the opposite of {x}."], x=x)
    o = r.choice(facts.OPPOSITES)
    return Turn(q, f"The opposite of {x} is {y}.", y, [(f"And of {o[0]}?", f"The opposite of {o[0]} is {o[1]}.")] if o[0] not in facts.ONE_WAY else [])


def plurals(r, held):
    x = r.choice(facts.REGULAR) if r.random() < 0.5 else r.choice(facts.IRREGULAR)[0]
    q = ask(r, held, ["What is the plural of {x}?", "Tell me the plural of {x}.", "One {x}, two what?", "What is the plural of the word {x}?",
                      "Give me the plural of {x}.", "How do you say more than one {x}?", "What do you call two or more of one {x}?", "Make the plural of {x}.", "One {x}, many what?", "~Do you know the plural of {x}?",
                      "~I have one {x}. What are two called?"], x=x)
    y = r.choice(facts.REGULAR)
    return Turn(q, f"The plural of {x} is {plural(x)}.", plural(x), [(f"And of {y}?", f"The plural of {y} is {plural(y)}.")])


def animal(r, held):
    n, sound, says, young, legs, lives, eats, kind, can = r.choice(facts.ANIMALS)
    m, sound2, says2, young2, legs2, lives2, eats2, kind2, can2 = r.choice(facts.ANIMALS)
    an, am, An, Am = a(n), a(m), cap(a(n)), cap(a(m))
    which = r.randrange(7)
    if which == 0:
        q = ask(r, held, ["What sound does {x} make?", "What does {x} say?", "How does {x} sound?", "Which sound does {x} make?", "How does {x} talk?", "Make the sound of {x}.",
                          "~What noise does {x} make?"], x=an)
        return Turn(q, f"{An} {sound}." if "almost" in sound else f'{An} {sound}. It says "{says}".', says,
                    [(f"And {am}?", f"{Am} {sound2}." if "almost" in sound2 else f'{Am} {sound2}. It says "{says2}".')])
    if which == 1:
        q = ask(r, held, ["What is a young {x} called?", "What do you call a baby {x}?", "What is the name for a young {x}?", "The young of {xa} is called what?", "What do people call the child of {xa}?",
                          "What is a baby {x} called?", "~How do you call a young {x}?"], x=n, xa=an)
        return Turn(q, f"A young {n} is called {a(young)}.", young, [(f"And a young {m}?", f"A young {m} is called {a(young2)}.")])
    if which == 2:
        q = ask(r, held, ["How many legs does {x} have?", "How many legs has {x}?", "The number of legs of {x}?", "Count the legs of {x}.", "Tell me how many legs {x} has.",
                          "~Do you know how many legs {x} has?"], x=an)
        say = lambda An, l: f"{An} has no legs." if l == "0" else f"{An} has {l} legs."
        return Turn(q, say(An, legs), legs, [(f"And {am}?", say(Am, legs2)), (f"And how many legs does {am} have?", say(Am, legs2))])
    if which == 3:
        q = ask(r, held, ["Where does {x} live?", "Where do {xs} live?", "Where can I find {x}?", "In what place does {x} live?", "What is the home of {x}?", "Where do I have to look for {x}?", "Where would I see {x}?",
                          "~Where is the home of {x}?"], x=an, xs=plural(n))
        return Turn(q, f"{An} lives {lives}.", "", [(f"And {am}?", f"{Am} lives {lives2}.")])
    if which == 4:
        q = ask(r, held, ["What does {x} eat?", "What do {xs} eat?", "What is the food of {x}?", "What do I feed {x}?", "What should I give {x} to eat?", "What does {x} have for dinner?",
                          "~What does {x} like to eat?"], x=an, xs=plural(n))
        return Turn(q, f"{An} eats {eats}.", "", [(f"And {am}?", f"{Am} eats {eats2}."), (f"Where does it live?", f"{An} lives {lives}.")])
    if which == 5:
        q = ask(r, held, ["What is {x}?", "Tell me about {x}.", "What do you know about {xs}?", "Tell me something about {xs}.",
                          "What kind of animal is {x}?", "~Can you tell me about {xs}?", "~Describe {x}."], x=an, xs=plural(n))
        legs_text = "no legs" if legs == "0" else f"{legs} legs"
        kind_text = f"{An} is {a(kind)}." if n != kind else f"{An} is an animal."
        return Turn(q, f"{kind_text} It has {legs_text}, lives {lives} and eats {eats}.", kind,
                    [("What sound does it make?", f"{An} {sound}."), ("What does it eat?", f"{An} eats {eats}."),
                     ("Where does it live?", f"{An} lives {lives}."), ("What is a young one called?", f"A young {n} is called {a(young)}.")])
    can_do = {"fly": "fly", "swim": "swim", "climb": "climb", "jump": "jump", "run": "run", "walk": "walk", "crawl": "crawl"}[can]
    if r.random() < 0.6:
        q = ask(r, held, ["Can {x} {d}?", "Can {xs} {d}?", "~Is {x} able to {d}?"], x=an, xs=plural(n), d=can_do)
        return Turn(q, f"Yes, {an} can {can_do}.", "yes")
    if can == "fly":
        return Turn(ask(r, held, ["Can {x} drive a car?", "Can {x} read a book?"], x=an), f"No, {an} cannot do that.", "no")
    q = ask(r, held, ["Can {x} fly?", "Can {xs} fly?", "~Is {x} able to fly?"], x=an, xs=plural(n))
    if kind == "bird":
        return Turn(q, f"No, {an} cannot fly." if n == "penguin" else f"Yes, {an} can fly.", "no" if n == "penguin" else "yes")
    return Turn(q, f"No, {an} cannot fly.", "no")


def compare(r, held):
    if r.random() < 0.65:
        i, j = sorted(r.sample(range(len(facts.SIZES)), 2))
        small, big = facts.SIZES[i], facts.SIZES[j]
        up, word, ask_up = big, ("bigger", "smaller"), r.random() < 0.6
    else:
        i, j = sorted(r.sample(range(len(facts.SPEEDS)), 2))
        small, big = facts.SPEEDS[i], facts.SPEEDS[j]
        up, word, ask_up = big, ("faster", "slower"), r.random() < 0.6
    w = word[0] if ask_up else word[1]
    win, lose = (big, small) if ask_up else (small, big)
    x, y = (win, lose) if r.random() < 0.5 else (lose, win)
    q = ask(r, held, ["Which is {w}, {x} or {y}?", "What is {w}, {x} or {y}?", "{w}: {x} or {y}?", "Tell me which is {w}, {x} or {y}.", "Compare {x} and {y}: which is {w}?", "What is {w}: {x} or {y}?", "~Is {x} or {y} {w}?"], w=w, x=x, y=y)
    return Turn(q, f"{cap(win)} is {w} than {lose}.", win)


def country(r, held):
    c, city, continent, language = r.choice(facts.COUNTRIES)
    d, city2, continent2, language2 = r.choice(facts.COUNTRIES)
    which = r.randrange(5)
    if which < 2:
        q = ask(r, held, ["What is the capital of {c}?", "Which city is the capital of {c}?", "{c} has which capital?", "Tell me the capital of {c}.",
                          "What is the capital city of {c}?", "What is {c}'s capital?", "Capital of {c}?",
                          "~Do you know the capital of {c}?", "~Name the capital of {c}."], c=c)
        return Turn(q, f"The capital of {c} is {city}.", city, [(f"And of {d}?", f"The capital of {d} is {city2}."),
                    (f"What about {d}?", f"The capital of {d} is {city2}."), ("What language do they speak there?", f"People in {c} speak {language}.")])
    if which == 2:
        q = ask(r, held, ["Where is {c}?", "On which continent is {c}?", "In which part of the world is {c}?", "Which continent does {c} belong to?", "Which continent is {c} in?", "~On what continent do I find {c}?"], c=c)
        text = f"{c} is a country and a continent." if c == continent else f"{c} is in {continent}."
        return Turn(q, text, continent)
    if which == 3:
        q = ask(r, held, ["What language do people speak in {c}?", "Which language is spoken in {c}?", "What is the language of {c}?", "How do people talk in {c}?", "What do people speak in {c}?",
                          "~Which language do they speak in {c}?"], c=c)
        return Turn(q, f"People in {c} speak {language}.", language, [(f"And in {d}?", f"People in {d} speak {language2}.")])
    q = ask(r, held, ["In which country is {y}?", "Where is {y}?", "{y} is the capital of which country?", "Which country has {y} as its capital?", "To which country does {y} belong?", "What is {y}?",
                      "~Which country is {y} in?"], y=city)
    return Turn(q, f"{city} is the capital of {c}.", c, [("Where is that?", f"{c} is in {continent}.")])


def day(r, held):
    i = r.randrange(7)
    d, nxt, prev = facts.DAYS[i], facts.DAYS[(i + 1) % 7], facts.DAYS[i - 1]
    which = r.randrange(4)
    if which == 0:
        q = ask(r, held, ["Which day comes after {d}?", "What day comes after {d}?", "What comes after {d}?", "What is the day after {d}?",
                          "If today is {d}, what day is tomorrow?", "It is {d}. What is tomorrow?", "What do we have the day after {d}?", "~Which day follows {d}?", "~Today is {d}. What day is tomorrow?"], d=d)
        return Turn(q, f"After {d} comes {nxt}.", nxt, [("And the day after that?", f"After {nxt} comes {facts.DAYS[(i + 2) % 7]}.")])
    if which == 1:
        q = ask(r, held, ["Which day comes before {d}?", "What day comes before {d}?", "What comes before {d}?", "What is the day before {d}?",
                          "If today is {d}, what day was yesterday?", "It is {d}. What was yesterday?", "What do we have the day before {d}?", "~Today is {d}. What day was yesterday?"], d=d)
        return Turn(q, f"Before {d} comes {prev}.", prev)
    if which == 2:
        q = ask(r, held, ["Is {d} a school day?", "Is {d} part of the weekend?", "Is {d} on the weekend?"], d=d)
        if "school" in q:
            return Turn(q, f"No, {d} is on the weekend." if i > 4 else f"Yes, {d} is a school day.", "no" if i > 4 else "yes")
        return Turn(q, f"Yes, {d} is on the weekend." if i > 4 else f"No, {d} is a day of the working week.", "yes" if i > 4 else "no")
    k = r.randrange(7)
    nth = ["first", "second", "third", "fourth", "fifth", "sixth", "last"][k]
    q = ask(r, held, ["What is the {n} day of the week?", "Which day is the {n} day of the week?", "Which day is the {n} one?", "Name the {n} day of the week.", "~Which is the {n} day in a week?"], n=nth)
    return Turn(q, f"{facts.DAYS[k]} is the {nth} day of the week.", facts.DAYS[k])


def month(r, held):
    i = r.randrange(12)
    m, nxt, prev = facts.MONTHS[i], facts.MONTHS[(i + 1) % 12], facts.MONTHS[i - 1]
    which = r.randrange(5)
    if which == 0:
        q = ask(r, held, ["Which month comes after {m}?", "What month comes after {m}?", "What comes after {m}?", "What is the month after {m}?", "When {m} is over, which month begins?", "It is {m}. What is the next month?",
                          "~Which month follows {m}?"], m=m)
        return Turn(q, f"After {m} comes {nxt}.", nxt, [("And then?", f"After {nxt} comes {facts.MONTHS[(i + 2) % 12]}.")])
    if which == 1:
        q = ask(r, held, ["Which month comes before {m}?", "What month comes before {m}?", "What comes before {m}?", "It is {m}. What was the last month?",
                          "~What is the month before {m}?"], m=m)
        return Turn(q, f"Before {m} comes {prev}.", prev)
    if which == 2:
        q = ask(r, held, ["How many days does {m} have?", "How many days are in {m}?", "~Tell me how many days {m} has."], m=m)
        more = ", and 29 in a leap year" if i == 1 else ""
        return Turn(q, f"{m} has {facts.MONTH_DAYS[i]} days{more}.", str(facts.MONTH_DAYS[i]))
    if which == 3:
        q = ask(r, held, ["In which season is {m}?", "Which season is {m} in?", "What season is it in {m}?", "~{m} is in which season?"], m=m)
        return Turn(q, f"{m} is in {facts.SEASON_OF[i]}.", facts.SEASON_OF[i])
    nth = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "last"][i]
    q = ask(r, held, ["What is the {n} month of the year?", "Which month is the {n} month of the year?", "Which month is the {n} one?", "Name the {n} month.", "~Which is the {n} month in a year?"], n=nth)
    return Turn(q, f"{m} is the {nth} month of the year.", m)


def season(r, held):
    i = r.randrange(4)
    s, happens, feels, do, wear = facts.SEASONS[i]
    which = r.randrange(6)
    if which == 0:
        q = ask(r, held, ["What happens in {s}?", "What is {s} like?", "Tell me about {s}.", "~Describe {s}."], s=s)
        return Turn(q, f"In {s} {happens}. It is {feels}.")
    if which == 1:
        q = ask(r, held, ["What can I do in {s}?", "What do people do in {s}?", "~What should I do in {s}?"], s=s)
        return Turn(q, f"In {s} you can {do}.")
    if which == 2:
        q = ask(r, held, ["What should I wear in {s}?", "What do I wear in {s}?", "~Which clothes do I need in {s}?"], s=s)
        return Turn(q, f"In {s} you should wear {wear}.")
    if which == 3:
        q = ask(r, held, ["Which season comes after {s}?", "What comes after {s}?", "What is the season after {s}?", "When {s} ends, what season begins?", "~Which season follows {s}?"], s=s)
        return Turn(q, f"After {s} comes {facts.SEASONS[(i + 1) % 4][0]}.", facts.SEASONS[(i + 1) % 4][0])
    if which == 4:
        q = ask(r, held, ["Which season comes before {s}?", "What comes before {s}?"], s=s)
        return Turn(q, f"Before {s} comes {facts.SEASONS[i - 1][0]}.", facts.SEASONS[i - 1][0])
    weather, wear = r.choice([("cold", "a thick coat, a scarf and gloves"), ("warm", "a T-shirt and a hat"), ("rainy", "a raincoat and boots"),
                              ("windy", "a warm jacket"), ("snowy", "a thick coat and warm boots"), ("sunny", "a hat and sunglasses")])
    q = ask(r, held, ["What should I wear when it is {w}?", "It is {w}. What should I wear?", "What do I wear on a {w} day?",
                      "~Which clothes are good when it is {w}?"], w=weather)
    return Turn(q, f"When it is {weather}, you should wear {wear}.")


def add(r, held):
    x, y = r.randrange(10), r.randrange(10)
    q = ask(r, held, ["What is {x} plus {y}?", "What is {x} + {y}?", "{x} + {y} = ?", "How much is {x} plus {y}?", "Add {x} and {y}.",
                      "{x} plus {y}?", "Calculate {x} + {y}.", "What is the sum of {x} and {y}?", "What do {x} and {y} make together?", "{x} and {y} is how much?", "Put {x} and {y} together.", "I have {x} apples and get {y} more. How many apples do I have?",
                      "~What do you get when you add {x} and {y}?", "~How much is {x} + {y}?"], x=x, y=y)
    if "apples" in q:
        return Turn(q, f"You have {x + y} apple{'' if x + y == 1 else 's'}, because {x} plus {y} is {x + y}.", str(x + y))
    z = r.randrange(10)
    return Turn(q, f"{x} plus {y} is {x + y}.", str(x + y), [(f"And {x} plus {z}?", f"{x} plus {z} is {x + z}.")])


def subtract(r, held):
    x, y = r.randrange(10), r.randrange(10)
    x, y = max(x, y), min(x, y)
    q = ask(r, held, ["What is {x} minus {y}?", "What is {x} - {y}?", "{x} - {y} = ?", "How much is {x} minus {y}?", "Take {y} away from {x}.", "Subtract {y} from {x}.", "What remains of {x} without {y}?", "Calculate {x} - {y}.", "What do I have when I take {y} away from {x}?",
                      "{x} minus {y}?", "I have {x} apples and eat {y}. How many are left?", "~What is left when you take {y} from {x}?"], x=x, y=y)
    if "apples" in q:
        return Turn(q, f"{cap(facts.NUMBER_WORDS[x - y])} {'apple is' if x - y == 1 else 'apples are'} left.", str(x - y))
    return Turn(q, f"{x} minus {y} is {x - y}.", str(x - y))


def numbers(r, held):
    which = r.randrange(6)
    n = r.randrange(1, 20)
    if which == 0:
        q = ask(r, held, ["Which number comes after {n}?", "What comes after {n}?", "~Which number follows {n}?"], n=n)
        return Turn(q, f"After {n} comes {n + 1}.", str(n + 1))
    if which == 1:
        q = ask(r, held, ["Which number comes before {n}?", "What comes before {n}?"], n=n)
        return Turn(q, f"Before {n} comes {n - 1}.", str(n - 1))
    if which == 2:
        lo, hi = sorted(r.sample(range(0, 13), 2))
        if hi - lo < 2:
            hi = lo + 3
        q = ask(r, held, ["Count from {lo} to {hi}.", "Can you count from {lo} to {hi}?", "Please count from {lo} to {hi}.",
                          "~List the numbers from {lo} to {hi}."], lo=lo, hi=hi)
        return Turn(q, ", ".join(str(i) for i in range(lo, hi + 1)) + ".")
    if which == 3:
        x, y = r.sample(range(20), 2)
        q = ask(r, held, ["Which is more, {x} or {y}?", "What is more, {x} or {y}?", "Which number is larger, {x} or {y}?", "Which is the larger one, {x} or {y}?", "What is larger: {x} or {y}?",
                          "~Is {x} or {y} the larger number?"], x=x, y=y)
        return Turn(q, f"{max(x, y)} is more than {min(x, y)}.", str(max(x, y)))
    if which == 4:
        x = r.randrange(1, 11)
        q = ask(r, held, ["What is two times {x}?", "What is the double of {x}?", "What is {x} times 2?", "Double {x}.", "Two times {x}?", "How much is {x} and {x}?", "~How much is twice {x}?"], x=x)
        return Turn(q, f"Two times {x} is {2 * x}.", str(2 * x))
    q = ask(r, held, ["How do you write {n} as a word?", "Write {n} as a word.", "Spell the number {n}.", "How do I write the number {n}?", "The word for {n}?", "~What is {n} in words?"], n=n)
    return Turn(q, f"{n} is written as {facts.NUMBER_WORDS[n]}.", facts.NUMBER_WORDS[n])


def count_fact(r, held):
    q, n, answer = r.choice(facts.COUNTS)
    return Turn(ask(r, held, ["How many {q}?", "How many {q}?", "Please answer: how many {q}?", "~I wonder, how many {q}?"], q=q), answer, n)


def food(r, held):
    n, kind, source, taste = r.choice(facts.FOODS)
    which = r.randrange(4)
    if which == 0:
        q = ask(r, held, ["Is {x} a fruit or a vegetable?", "What is {x}, a fruit or a vegetable?", "What kind of food is {x}?", "What is {x}?",
                          "~Do you know if {x} is a fruit or a vegetable?"], x=a(n))
        return Turn(q, f"{cap(a(n))} is a {kind}.", kind)
    if which == 1:
        q = ask(r, held, ["What does {x} taste like?", "How does {x} taste?", "~What is the taste of {x}?"], x=a(n))
        return Turn(q, f"{cap(a(n))} tastes {taste}.", taste)
    if which == 2:
        q = ask(r, held, ["Where does {x} come from?", "Where does {x} grow?", "Where can I pick {x}?", "~On what does {x} grow?"], x=a(n))
        where = "in the ground" if source == "the ground" else "in the field" if source == "the field" else "on " + source
        return Turn(q, f"{cap(a(n))} grows {where}.")
    x, of = r.choice(facts.MADE_OF)
    q = ask(r, held, ["What is {x} made of?", "What is {x} made from?", "What do you need to make {x}?", "What do I need for {x}?", "How do people make {x}?", "What does {x} consist of?", "What is in {x}?",
                      "~From what do people make {x}?"], x=x)
    return Turn(q, f"{cap(x)} is made of {of}." if x != "chips" else f"Chips are made of {of}.", "")


def define(r, held):
    x, text = r.choice(facts.DEFINITIONS)
    y, text2 = r.choice(facts.DEFINITIONS)
    q = ask(r, held, ["What is {x}?", "What does the word {b} mean?", "Explain the word {b}.", "Explain {x}.", "What do people call {x}?", "What do you know about {x}?", "Can you say what {x} is?", "Define {b}.", "Can you explain what {x} is?", "Tell me what {x} is.",
                      "~Do you know what {x} is?", "~What is meant by {x}?"], x=x, b=bare(x))
    return Turn(q, f"{cap(x)} is {text}.", "", [(f"And {y}?", f"{cap(y)} is {text2}."), (f"And what is {y}?", f"{cap(y)} is {text2}.")])


def job(r, held):
    x, does = r.choice(facts.JOBS)
    if r.random() < 0.7:
        q = ask(r, held, ["What does {x} do?", "What is the job of {x}?", "What is the task of {x}?", "Why do we need {x}?", "How does {x} spend the day?", "What do {xs} do?", "What is the work of {x}?",
                          "~What does {x} do all day?"], x=a(x), xs=plural(x) if x != "postman" else "postmen")
        return Turn(q, f"{cap(a(x))} {does}.")
    q = ask(r, held, ["Who {d}?", "Which person {d}?", "What is the job of someone who {d}?", "I need somebody who {d}. Who is that?", "~What do you call someone who {d}?"], d=does)
    return Turn(q, f"{cap(a(x))} {does}.", x)


def use(r, held):
    x, to = r.choice(facts.USES)
    pl = not x.startswith(("a ", "an ", "soap", "glue"))
    if r.random() < 0.6:
        q = ask(r, held, ["What do you use {x} for?", "What do I need {x} for?", "What is {x} good for?", "What is {x} for?", "Why would I need {x}?", "What do people do with {x}?", "What can I do with {x}?", "~Why do people have {x}?"], x=x)
        return Turn(q, f"You use {x} to {to}.")
    q = ask(r, held, ["What do I need to {t}?", "What do you use to {t}?", "I want to {t}. What do I need?", "With what can I {t}?", "~Which thing helps me to {t}?"], t=to.replace("your", "my"))
    return Turn(q, f"You need {x} to {to}." if not pl else f"You need {x} to {to}.", bare(x))


def rhyme(r, held):
    x, ys = r.choice(facts.RHYMES)
    q = ask(r, held, ["What rhymes with {x}?", "Tell me words that rhyme with {x}.", "Which words rhyme with {x}?", "Find a rhyme for {x}.", "Which word sounds like {x}?", "What is a rhyme for {x}?", "Rhyme with {x}.", "Can you rhyme {x}?",
                      "~I need a rhyme for {x}.", "~Do you know a rhyme for {x}?"], x=x)
    return Turn(q, f"{cap(ys)} {'rhymes' if ' and ' not in ys else 'rhyme'} with {x}.", ys.split(",")[0])


def translate(r, held):
    lang, x, y = r.choice(facts.TRANSLATIONS)
    q = ask(r, held, ["How do you say {x} in {l}?", "What is {x} in {l}?", "Give me the {l} word for {x}.", "I want to say {x} in {l}.", "What does {x} mean in {l}?", "Translate {x} to {l}.", 'Translate "{x}" into {l}.', "What is the {l} word for {x}?",
                      "~How do people say {x} in {l}?", "~Say {x} in {l}."], x=x, l=lang)
    same = [(m, z) for m, w, z in facts.TRANSLATIONS if w == x and m != lang]
    return Turn(q, f'In {lang}, {x} is "{y}".', y, [(f"And in {m}?", f'In {m}, {x} is "{z}".') for m, z in same])


def listing(r, held):
    what = r.choice(sorted(facts.LISTS))
    k = r.choice([2, 3, 3, 3, 4])
    n = facts.NUMBER_WORDS[k]
    items = facts.LISTS[what][:k] if r.random() < 0.5 else r.sample(facts.LISTS[what], k)
    q = ask(r, held, ["Name {n} {w}.", "List {n} {w}.", "Tell me {n} {w}.", "Can you name {n} {w}?", "Give me {n} {w}.", "What are {n} {w}?",
                      "~I need {n} {w}.", "~Please list {n} {w} for me."], n=n, w=what)
    text = ", ".join(items[:-1]) + " and " + items[-1]
    start = r.choice([f"{cap(n)} {what} are {text}.", f"Here are {n} {what}: {text}."])
    return Turn(q, start)


def truth(r, held):
    q, yes, why = r.choice(facts.TRUTHS)
    text = ask(r, held, ["{q}?", "{q}?", "{q}, yes or no?", "Is this true? {q}?", "I am not sure: {ql}?", "What do you think, {ql}?", "~Tell me, {ql}?"], q=q, ql=q[0].lower() + q[1:])
    return Turn(text, f"{cap(yes)}, {why}.", yes)


def why(r, held):
    q, answer = r.choice(facts.WHY)
    return Turn(ask(r, held, ["{q}?", "{q}?", "{q}?", "Tell me: {l}?", "Teach me something. {q}?", "Can you explain this? {q}?", "People ask me: {l}?", "~I want to learn something. {q}?"], q=q, l=q[0].lower() + q[1:]), answer)


def how_to(r, held):
    x, answer = r.choice(facts.HOW_TO)
    y = x.replace("my ", "your ")
    q = ask(r, held, ["How do I {x}?", "How can I {x}?", "Tell me how to {y}.", "How do you {y}?", "I want to {x}. What do I do?", "Help me to {x}.", "I need to {x}. How?", "What do I do to {x}?", "What is a good way to {x}?", "Show me how to {y}.", "Teach me how to {y}.", "I do not know how to {y}.", "Explain how to {y}.",
                      "Can you tell me how to {y}?", "~Please explain to me how to {y}.", "~What is the best way to {x}?"], x=x, y=y)
    return Turn(q, answer)


ALL = [(colour, 6), (mix, 1), (opposite, 6), (plurals, 5), (animal, 12), (compare, 5), (country, 8), (day, 5), (month, 5), (season, 4),
       (add, 9), (subtract, 6), (numbers, 6), (count_fact, 3), (food, 4), (define, 8), (job, 4), (use, 5), (rhyme, 3), (translate, 4),
       (listing, 5), (truth, 4), (why, 5), (how_to, 7)]


def any_topic(r, held):
    """A question of any kind, in proportion to the kind's weight."""
    topic = r.choices([t for t, _ in ALL], [w for _, w in ALL])[0]
    turn = topic(r, held)
    turn.keywords = True
    return turn
