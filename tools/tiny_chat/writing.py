"""Sentences, stories, poems and jokes: text of a fixed style with changing heroes."""

import facts
from turns import Turn, a, ask, cap, plural

MALE, FEMALE = facts.NAMES[0::2], facts.NAMES[1::2]
SKILL = {"fly": "fly high", "swim": "swim", "climb": "climb", "jump": "jump", "run": "run fast", "walk": "walk around", "crawl": "crawl around"}
PLACES = facts.words("school, garden, forest, beach, park, river, mountain, market, library, city, village, island, farm, museum, lake")
THINGS = facts.words("""book, ball, lamp, clock, chair, table, bed, key, hat, bag, cup, letter, bike, car, boat, kite, map, mirror, door,
window, pen, box, phone, computer, robot, ship, train, picture, umbrella, blanket""")
NATURE = facts.words("the sun, the moon, the sea, the rain, the wind, the snow, the sky, the stars, the night, the morning, the spring, the summer, the winter, the autumn")
FEELINGS = facts.words("friendship, love, happiness, music, peace, hope, home, work, time, holidays")


def sentence(r, held):
    """One sentence about a thing of a known sort."""
    sort = r.choice(["animal", "animal", "food", "place", "thing", "thing", "nature", "job", "idea"])
    if sort == "animal":
        n, sound, _, young, _, lives, eats, _, can = r.choice(facts.ANIMALS)
        x, X = a(n), cap(a(n))
        text = r.choice([f"The little {n} sleeps in the warm sun.", f"{X} lives {lives} and eats {eats}.", f"I saw a friendly {n} on my way home.",
                         f"The {n} likes to {SKILL[can]} every morning.", f"The {n} takes good care of its {young}.",
                         f"My sister drew a picture of {x}."])
        asks = [x, plural(n), x]
    elif sort == "food":
        n, kind, _, taste = r.choice(facts.FOODS)
        x = a(n)
        text = r.choice([f"I eat {x} every morning.", f"The {n} on the table looks very fresh.", f"My grandmother bought a large bag of {plural(n)} at the market.",
                         f"A good {n} tastes {taste}."])
        asks = [x, plural(n)]
    elif sort == "place":
        n = r.choice(PLACES)
        text = r.choice([f"We walked to the {n} on a sunny day.", f"The {n} is quiet in the early morning.", f"My friends and I met at the {n}.",
                         f"There is a beautiful {n} near our house."])
        asks = [a(n), "the " + n]
    elif sort == "thing":
        n = r.choice(THINGS)
        text = r.choice([f"The old {n} belongs to my grandfather.", f"I found a small {n} under the table.", f"She gave me a beautiful {n} for my birthday.",
                         f"My brother lost his new {n} yesterday."])
        asks = [a(n), "the " + n]
    elif sort == "nature":
        x = r.choice(NATURE)
        text = r.choice([f"I like {x} very much.", f"We talked about {x} all evening.", f"The painter painted {x} with soft colours.",
                         f"Nothing is as beautiful as {x}."])
        asks = [x]
    elif sort == "job":
        n, does = r.choice(facts.JOBS)
        text = r.choice([f"The {n} {does} every day.", f"Our {n} is a kind and careful person.", f"The young {n} works from morning to evening.",
                         f"My uncle is {a(n)}, and he {does}."])
        asks = [a(n), "the " + n]
    else:
        x = r.choice(FEELINGS)
        text = r.choice([f"Nothing is more important to me than {x}.", f"A day without {x} is a long day.", f"We all need a little {x}."])
        asks = [x]
    q = ask(r, held, ["Write a sentence about {x}.", "Make a sentence about {x}.", "Give me a sentence about {x}.", "Can you write one sentence about {x}?",
                      "Write one sentence about {x}.", "Tell me a sentence with {x}.", "I need a sentence about {x}.",
                      "~Please write me a short sentence about {x}.", "~Say something about {x} in one sentence."], x=r.choice(asks))
    return Turn(q, text)


ARCS = [
    ("{N} wanted to find a new friend.", "At first nobody had time to play, and {N} felt lonely.", "Then {M} came along and said hello.",
     "They played all day until the sun went down.", "From that day on, {N} and {M} were best friends."),
    ("One day, {N} lost {his} way in the forest.", "It was getting dark, and {N} was afraid.", "Then {M} saw {him} and showed {him} the way with a small lamp.",
     "Soon they saw the lights of home.", "{N} said thank you and never forgot how good it is to have help."),
    ("One day, {N} found an old map under a stone.", "The map showed the way to a treasure.", "{N} asked {M} to come along, and together they climbed a high hill.",
     "Behind a tree they found a box full of gold coins.", "They shared the treasure and had a great party."),
    ("One winter, there was nothing to eat.", "{N} was hungry and cold.", "{M} knocked on the door and brought warm soup and fresh bread.",
     "They sat by the fire and told each other stories.", "{N} learned that sharing makes a cold day warm."),
    ("{N} was very small, and everyone laughed about it.", "One day, {M} dropped the key of the house into a tiny hole.", "Nobody could reach it, but {N} was small enough.",
     "{N} climbed down and brought back the key.", "After that, nobody laughed at {N} any more."),
    ("{N} wanted to see the sea.", "The way was long, but {N} did not give up.", "On the road {he} met {M}, who knew the way.",
     "After three days they stood on the beach and saw the blue water.", "{N} smiled and said that the long way was worth it."),
    ("One night, {N} could not sleep.", "{He} looked out of the window and saw a falling star.", "{N} made a wish to have a friend.",
     "The next morning, {M} moved into the house next door.", "{N} knew that the wish had come true."),
    ("{N} loved to sing, but {he} was shy.", "One evening, {M} heard {him} sing in the garden.", "{M} said that it was the most beautiful song in the world.",
     "The next day, {N} sang for the whole village.", "Everyone clapped, and {N} was never shy again."),
    ("One day, a big storm came.", "The wind took the roof of the house away, and {N} was sad.", "{M} and all the neighbours came to help.",
     "They worked together until the roof was new.", "{N} baked a large cake for everyone to say thank you."),
    ("{N} wanted to win the great race.", "Every morning {he} ran around the lake, and {M} counted the rounds.", "On the day of the race, {N} fell down.",
     "But {he} stood up and ran on, and came in last with a smile.", "{M} said that not giving up is the best way to win."),
    ("{N} planted a tiny seed in the garden.", "For a long time nothing happened, and {N} was sad.", "{M} told {him} to wait and to give it water each day.",
     "In spring, a beautiful flower came out of the ground.", "{N} learned that good things need time."),
    ("{N} found a small bird with a broken wing.", "{He} took it home and gave it food and water.", "{M} made a little bed for it out of wool.",
     "After three weeks, the bird could fly again.", "Each morning it came back and sang a song for {N}."),
]
TRAITS = facts.words("little, brave, kind, curious, clever, friendly, young, shy")
HOMES = ["in a small house near the forest", "in a village by the sea", "on a farm at the end of the road", "in a town with many bridges",
         "on a small island", "at the foot of a high mountain"]


def tell(r, hero, name):
    """A story of seven sentences about the hero."""
    he = ("he", "him", "his") if name in MALE else ("she", "her", "her")
    other = r.choice([n for n in facts.NAMES if n != name])
    friend_kind = r.choice(["rabbit", "dog", "owl", "cat", "bear", "mouse", "fox", "bird", "horse", "duck"])
    friend = f"{other} the {friend_kind}"
    first = f"Once upon a time there was {a(r.choice(TRAITS) + ' ' + hero)} named {name}. {name} lived {r.choice(HOMES)}."
    arc = " ".join(r.choice(ARCS))
    i = arc.index("{M}")
    arc = arc[:i] + friend + arc[i + 3:]  # the friend is introduced in full and then called by the name
    arc = arc.replace("{M}", other).replace("{N}", name).replace("{he}", he[0]).replace("{him}", he[1]).replace("{his}", he[2]).replace("{He}", cap(he[0]))
    return f"{first} {arc}"


def story(r, held):
    hero = r.choice([x[0] for x in facts.ANIMALS] + ["boy", "girl", "king", "queen", "robot", "pirate", "knight", "baker", "sailor", "wizard", "dragon", "prince", "princess"] * 2)
    pool = MALE if hero in ("boy", "king", "wizard", "prince") else FEMALE if hero in ("girl", "queen", "princess") else facts.NAMES
    name = r.choice(pool)
    if r.random() < 0.3:
        q = ask(r, held, ["Tell me a story about {h} named {n}.", "Tell me a story about {h} called {n}.", "Write a story about {n} the {b}.",
                          "~Please write a story about {h} whose name is {n}."], h=a(hero), n=name, b=hero)
    elif r.random() < 0.25:
        q = ask(r, held, ["Tell me a story.", "Can you tell me a story?", "Write a short story.", "I want to hear a story.", "Tell me a bedtime story.",
                          "~Please tell me a little story."])
    else:
        q = ask(r, held, ["Tell me a story about {h}.", "Write a short story about {h}.", "Can you tell me a story about {h}?", "I want a story about {h}.",
                          "Tell me a short story about {h}.", "Write a story about {h}.", "~Please tell me a little story about {h}.",
                          "~Do you know a story about {h}?"], h=a(hero))
    return Turn(q, tell(r, hero, name))


COUPLETS = [
    ("The {x} is quiet, the {x} is bright,", "it keeps me company through the night."),
    ("I saw {ax} on a sunny day,", "it made me smile and it ran away."),
    ("Oh, {x}, oh, {x}, so dear to me,", "you are as free as the wide, blue sea."),
    ("The {x} was singing a happy tune,", "under the light of the silver moon."),
    ("Over the hill and far away,", "the {x} is waiting for me today."),
    ("When morning comes and the sky is red,", "the {x} is dancing around my bed."),
    ("A little {x} came to my door,", "I gave it a cake, and it asked for more."),
    ("The wind is cold and the night is long,", "but the {x} and I will sing a song."),
    ("I wrote {ax} a letter in June,", "it said to me: I will see you soon."),
    ("The sun goes down and the stars come out,", "the {x} is happy and runs about."),
]
CLOSES = [
    ("And when the day comes to an end,", "I know the {x} will be my friend."),
    ("So here is my poem, short and true,", "the {x} and I say hello to you."),
    ("Good night, dear {x}, sleep well, sleep tight,", "tomorrow brings another light."),
    ("Now close your eyes and dream of me,", "said the {x} beneath the old green tree."),
]


def poem(r, held):
    x = r.choice([e[0] for e in facts.ANIMALS] + THINGS + ["sun", "moon", "star", "rain", "wind", "tree", "flower", "rose", "river", "cloud"] * 2)
    lines = list(r.choice(COUPLETS)) + list(r.choice(CLOSES))
    q = ask(r, held, ["Write a poem about {x}.", "Tell me a poem about {x}.", "Can you write a poem about {x}?", "Write a short poem about {x}.",
                      "I want a poem about {x}.", "Write a rhyme about {x}.", "~Please make a little poem about {x}."],
            x=r.choice([a(x), "the " + x]))
    return Turn(q, "\n".join(cap(line) for line in lines).format(x=x, ax=a(x)))


def joke(r, held):
    return Turn(ask(r, held, ["Tell me a joke.", "Do you know a joke?", "Can you tell me a joke?", "Make me laugh.", "I want to hear a joke.", "Say something funny.",
                              "~Please tell me a funny joke."]), r.choice(facts.JOKES),
                "", [("Tell me another one.", r.choice(facts.JOKES)), ("That was funny!", "I am glad that you liked it!")])


def riddle(r, held):
    q, answer = r.choice(facts.RIDDLES)
    return Turn(ask(r, held, ["Tell me a riddle.", "Do you know a riddle?", "Give me a riddle.", "Can you ask me a riddle?", "~I would like to hear a riddle."]),
                f"Here is a riddle: {q}", "", [("I do not know.", f"The answer is {answer}."), ("What is the answer?", f"The answer is {answer}."),
                                               (f"Is it {answer}?", f"Yes, well done! The answer is {answer}.")])


ALL = [(sentence, 6), (story, 5), (poem, 3), (joke, 2), (riddle, 2)]


def any_topic(r, held):
    """A request to write something."""
    topic = r.choices([t for t, _ in ALL], [w for _, w in ALL])[0]
    return topic(r, held)
