"""What tiny-chat knows: word lists and facts, written for this project. One fact a line, fields split by `|`."""


def table(text):
    """Rows of a `|`-separated block."""
    return [[f.strip() for f in line.split("|")] for line in text.strip().splitlines() if line.strip()]


def words(text):
    """Comma-separated words."""
    return [w.strip() for w in text.replace("\n", " ").split(",") if w.strip()]


NAMES = words("""Tom, Anna, Ben, Lily, Max, Emma, Sam, Mia, Leo, Nina, Jack, Lucy, Paul, Sara, Tim, Julia, Oscar, Clara,
Peter, Rosa, David, Maria, Adam, Eva, Noah, Ella, Hugo, Lena, Finn, Ruby, Omar, Aisha, Kenji, Yuki, Ravi, Priya, Ivan, Olga,
Chen, Mei, Carlos, Elena, Pablo, Sofia, Lars, Ingrid, Marco, Giulia, Henry, Alice, George, Grace, James, Kate, Robert, Helen,
Daniel, Laura, Victor, Diana, Felix, Nora, Simon, Ada, Alan, Bella, Chris, Dora, Eric, Fiona""")

# thing | colour. The article is part of the thing.
COLOURS = table("""
the sky|blue
the sea|blue
grass|green
a leaf|green
a tree|green
a frog|green
a cucumber|green
a pea|green
spinach|green
broccoli|green
a lime|green
a crocodile|green
a banana|yellow
a lemon|yellow
the sun|yellow
butter|yellow
corn|yellow
a canary|yellow
a sunflower|yellow
cheese|yellow
a chick|yellow
a tomato|red
a strawberry|red
blood|red
a cherry|red
a rose|red
a fire truck|red
a stop sign|red
a ladybird|red
ketchup|red
a raspberry|red
an apple|red
an orange|orange
a carrot|orange
a pumpkin|orange
a fox|orange
a tiger|orange
snow|white
milk|white
a cloud|white
salt|white
sugar|white
a swan|white
flour|white
paper|white
rice|white
a polar bear|white
a sheep|white
chalk|white
the moon|white
coal|black
the night|black
a crow|black
tar|black
ink|black
a tyre|black
a blackboard|black
chocolate|brown
wood|brown
coffee|brown
a bear|brown
bread|brown
mud|brown
a potato|brown
a monkey|brown
a nut|brown
a flamingo|pink
a pig|pink
a salmon|pink
a plum|purple
an aubergine|purple
lavender|purple
a grape|purple
a violet|purple
an elephant|grey
a mouse|grey
a stone|grey
a rain cloud|grey
a wolf|grey
a dolphin|grey
silver|grey
ash|grey
a zebra|black and white
a panda|black and white
a penguin|black and white
""")

MIXES = table("""
red|yellow|orange
blue|yellow|green
red|blue|purple
red|white|pink
black|white|grey
red|green|brown
""")

OPPOSITES = table("""
hot|cold
big|small
tall|short
fast|slow
old|young
new|used
happy|sad
good|bad
up|down
left|right
day|night
black|white
light|dark
rich|poor
hard|soft
heavy|easy to lift
full|empty
open|closed
wet|dry
clean|dirty
loud|quiet
early|late
first|last
high|low
long|brief
near|far
in|out
on|off
yes|no
true|false
strong|weak
thick|thin
wide|narrow
deep|shallow
sweet|sour
sharp|blunt
rough|smooth
brave|afraid
kind|mean
clever|silly
win|lose
buy|sell
come|go
give|take
push|pull
start|stop
love|hate
laugh|cry
remember|forget
find|miss
above|below
before|after
inside|outside
front|back
top|bottom
always|never
more|less
many|few
awake|asleep
alive|dead
safe|dangerous
summer|winter
north|south
east|west
friend|enemy
question|answer
beginning|end
beautiful|ugly
simple|difficult
polite|rude
lazy|busy
raw|cooked
tight|loose
arrive|leave
build|destroy
break|repair
sit|stand
morning|evening
sunrise|sunset
same|different
cheap|expensive
noisy|silent
together|alone
""")
# Pairs whose second word is not an opposite to ask back from ("What is the opposite of used?" has other answers).
ONE_WAY = {"new", "heavy", "long", "find"}

# singular | plural, the ones that do not only add s
IRREGULAR = table("""
child|children
man|men
woman|women
foot|feet
tooth|teeth
mouse|mice
goose|geese
sheep|sheep
fish|fish
deer|deer
ox|oxen
person|people
leaf|leaves
knife|knives
wolf|wolves
wife|wives
life|lives
shelf|shelves
half|halves
loaf|loaves
thief|thieves
baby|babies
city|cities
story|stories
puppy|puppies
berry|berries
cherry|cherries
lady|ladies
party|parties
fly|flies
butterfly|butterflies
country|countries
family|families
box|boxes
fox|foxes
bus|buses
glass|glasses
dress|dresses
dish|dishes
brush|brushes
church|churches
peach|peaches
watch|watches
beach|beaches
sandwich|sandwiches
potato|potatoes
tomato|tomatoes
hero|heroes
class|classes
wish|wishes
""")
REGULAR = words("""cat, dog, book, car, tree, house, apple, chair, table, flower, bird, cow, horse, pig, hat, shoe, sock, cup,
spoon, plate, door, window, road, river, mountain, star, cloud, stone, pen, pencil, ball, bike, boat, train, plane, clock,
lamp, bed, room, wall, garden, farm, school, teacher, student, doctor, friend, girl, boy, king, queen, egg, cake, cookie,
banana, carrot, lemon, orange, grape, bear, lion, tiger, monkey, elephant, snake, frog, duck, hen, bee, ant, spider, whale,
shark, robot, song, game, toy, key, bag, coat, shirt, button, finger, hand, arm, leg, eye, ear, nose, day, week, month, year,
letter, word, number, bridge, island, forest, lake, town, shop, picture, pirate, ship, map""")

# animal | sound (third person) | it says | young | legs | lives | eats | kind | can
ANIMALS = table("""
dog|barks|woof|puppy|4|in a house or a kennel|meat and bones|mammal|run
cat|meows|meow|kitten|4|in a house|fish and mice|mammal|climb
cow|moos|moo|calf|4|on a farm|grass|mammal|walk
horse|neighs|neigh|foal|4|in a stable|grass and hay|mammal|run
pig|oinks|oink|piglet|4|on a farm|almost everything|mammal|walk
sheep|bleats|baa|lamb|4|on a farm|grass|mammal|walk
goat|bleats|meh|kid|4|on a farm or in the mountains|grass and leaves|mammal|climb
hen|clucks|cluck|chick|2|on a farm|seeds and worms|bird|walk
duck|quacks|quack|duckling|2|on a pond|water plants and bread|bird|swim
goose|honks|honk|gosling|2|near a lake|grass and seeds|bird|swim
owl|hoots|hoot|owlet|2|in the forest|mice|bird|fly
crow|caws|caw|chick|2|in the trees|seeds and worms|bird|fly
pigeon|coos|coo|chick|2|in the city|seeds and crumbs|bird|fly
eagle|screams|kree|eaglet|2|high in the mountains|small animals|bird|fly
parrot|squawks|squawk|chick|2|in the jungle|fruit and nuts|bird|fly
penguin|squawks|squawk|chick|2|on the ice in the south|fish|bird|swim
swan|hisses|hiss|cygnet|2|on a lake|water plants|bird|swim
lion|roars|roar|cub|4|in Africa, on the grassland|meat|mammal|run
tiger|roars|roar|cub|4|in the jungle of Asia|meat|mammal|run
bear|growls|growl|cub|4|in the forest|berries, fish and honey|mammal|climb
wolf|howls|howl|pup|4|in the forest|meat|mammal|run
fox|yelps|yelp|cub|4|in the forest|mice and berries|mammal|run
rabbit|squeaks|squeak|bunny|4|in a burrow|grass and carrots|mammal|jump
mouse|squeaks|squeak|pup|4|in a hole|seeds and cheese|mammal|run
elephant|trumpets|toot|calf|4|in Africa and Asia|leaves and grass|mammal|walk
monkey|chatters|ooh ooh|baby|2|in the jungle|fruit and nuts|mammal|climb
giraffe|hums|hum|calf|4|in Africa, on the grassland|leaves from tall trees|mammal|walk
zebra|barks|kwa|foal|4|in Africa, on the grassland|grass|mammal|run
deer|bleats|bleat|fawn|4|in the forest|grass and leaves|mammal|run
kangaroo|clicks|click|joey|2|in Australia|grass|mammal|jump
koala|grunts|grunt|joey|4|in Australia, in the trees|leaves|mammal|climb
panda|bleats|bleat|cub|4|in the forests of China|bamboo|mammal|climb
camel|groans|groan|calf|4|in the desert|dry plants|mammal|walk
donkey|brays|hee-haw|foal|4|on a farm|grass and hay|mammal|walk
bat|squeaks|squeak|pup|2|in a cave|insects|mammal|fly
squirrel|chatters|chip chip|kit|4|in a tree|nuts and seeds|mammal|climb
hedgehog|snuffles|snuff|hoglet|4|in the garden|insects and worms|mammal|walk
whale|sings|wooo|calf|0|in the ocean|tiny sea animals|mammal|swim
dolphin|clicks and whistles|click|calf|0|in the ocean|fish|mammal|swim
seal|barks|arf|pup|0|by the sea|fish|mammal|swim
frog|croaks|croak|tadpole|4|in a pond|insects|amphibian|jump
snake|hisses|hiss|snakelet|0|in the grass or the desert|mice and eggs|reptile|crawl
turtle|hisses|hiss|hatchling|4|in the sea|water plants|reptile|swim
crocodile|growls|growl|hatchling|4|in the river|meat|reptile|swim
lizard|chirps|chirp|hatchling|4|under warm stones|insects|reptile|climb
fish|makes almost no sound|blub|fry|0|in the water|water plants and small animals|fish|swim
shark|makes almost no sound|blub|pup|0|in the ocean|fish|fish|swim
bee|buzzes|buzz|larva|6|in a hive|honey and nectar|insect|fly
ant|makes almost no sound|tick|larva|6|in an anthill|crumbs and seeds|insect|walk
butterfly|makes almost no sound|flap|caterpillar|6|in the garden|nectar from flowers|insect|fly
spider|makes almost no sound|tick|spiderling|8|in a web|flies|spider|climb
octopus|makes almost no sound|blub|larva|8|in the ocean|crabs|sea animal|swim
""")
# Smallest to largest, for comparisons.
SIZES = words("""an ant, a bee, a butterfly, a mouse, a frog, a bird, a squirrel, a rabbit, a cat, a fox, a dog, a sheep, a wolf, a pig,
a lion, a bear, a horse, a giraffe, an elephant, a whale""")
SPEEDS = words("a snail, a turtle, a duck, a cow, a rabbit, a horse, a car, a train, a plane, a rocket")

# country | capital | continent | language
COUNTRIES = table("""
France|Paris|Europe|French
Germany|Berlin|Europe|German
Italy|Rome|Europe|Italian
Spain|Madrid|Europe|Spanish
Portugal|Lisbon|Europe|Portuguese
England|London|Europe|English
Scotland|Edinburgh|Europe|English
Ireland|Dublin|Europe|English and Irish
Austria|Vienna|Europe|German
Belgium|Brussels|Europe|Dutch and French
Greece|Athens|Europe|Greek
Poland|Warsaw|Europe|Polish
Sweden|Stockholm|Europe|Swedish
Norway|Oslo|Europe|Norwegian
Denmark|Copenhagen|Europe|Danish
Finland|Helsinki|Europe|Finnish
Hungary|Budapest|Europe|Hungarian
Russia|Moscow|Europe and Asia|Russian
Ukraine|Kyiv|Europe|Ukrainian
Turkey|Ankara|Europe and Asia|Turkish
Egypt|Cairo|Africa|Arabic
Kenya|Nairobi|Africa|Swahili and English
Morocco|Rabat|Africa|Arabic
Ghana|Accra|Africa|English
China|Beijing|Asia|Chinese
Japan|Tokyo|Asia|Japanese
India|New Delhi|Asia|Hindi and many more
Thailand|Bangkok|Asia|Thai
Vietnam|Hanoi|Asia|Vietnamese
South Korea|Seoul|Asia|Korean
Indonesia|Jakarta|Asia|Indonesian
Canada|Ottawa|North America|English and French
Mexico|Mexico City|North America|Spanish
Cuba|Havana|North America|Spanish
Brazil|Brasilia|South America|Portuguese
Argentina|Buenos Aires|South America|Spanish
Chile|Santiago|South America|Spanish
Peru|Lima|South America|Spanish
Australia|Canberra|Australia|English
New Zealand|Wellington|Oceania|English and Maori
""")
UNKNOWN_COUNTRIES = words("""Mongolia, Bolivia, Nepal, Angola, Botswana, Fiji, Bhutan, Laos, Malta, Oman, Qatar, Samoa, Togo, Uganda,
Zambia, Yemen, Estonia, Latvia, Lithuania, Moldova, Slovenia, Croatia, Serbia, Albania, Georgia, Armenia, Chad, Niger, Mali,
Haiti, Panama, Honduras, Paraguay, Uruguay, Ecuador, Gabon, Malawi, Rwanda, Tonga, Brunei""")

DAYS = words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
MONTHS = words("January, February, March, April, May, June, July, August, September, October, November, December")
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
SEASON_OF = ["winter", "winter", "spring", "spring", "spring", "summer", "summer", "summer", "autumn", "autumn", "autumn", "winter"]
SEASONS = table("""
spring|flowers grow and the birds sing|mild and fresh|plant seeds in the garden|a light jacket
summer|the sun shines and the days are long|warm and sunny|swim in the sea|a T-shirt and a hat
autumn|leaves turn red and fall from the trees|cool and windy|pick apples|a warm jumper
winter|snow falls and the nights are long|cold and dark|build a snowman|a thick coat and a scarf
""")
NUMBER_WORDS = words("""zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen,
sixteen, seventeen, eighteen, nineteen, twenty""")

# how many … | number | full answer
COUNTS = table("""
days are in a week|7|There are 7 days in a week.
days are in a year|365|There are 365 days in a year.
months are in a year|12|There are 12 months in a year.
weeks are in a year|52|There are 52 weeks in a year.
seasons are in a year|4|There are 4 seasons in a year.
hours are in a day|24|There are 24 hours in a day.
minutes are in an hour|60|There are 60 minutes in an hour.
seconds are in a minute|60|There are 60 seconds in a minute.
letters are in the alphabet|26|There are 26 letters in the alphabet.
fingers are on one hand|5|There are 5 fingers on one hand.
fingers do people have|10|People have 10 fingers.
toes do people have|10|People have 10 toes.
eyes do people have|2|People have 2 eyes.
wheels does a car have|4|A car has 4 wheels.
wheels does a bike have|2|A bike has 2 wheels.
sides does a triangle have|3|A triangle has 3 sides.
sides does a square have|4|A square has 4 sides.
continents are there|7|There are 7 continents.
planets go around the sun|8|8 planets go around the sun.
colours are in the rainbow|7|There are 7 colours in the rainbow.
eggs are in a dozen|12|There are 12 eggs in a dozen.
players are in a football team|11|There are 11 players in a football team.
strings does a violin have|4|A violin has 4 strings.
wings does a bird have|2|A bird has 2 wings.
""")

# food | kind | made of or from | taste
FOODS = table("""
apple|fruit|an apple tree|sweet
banana|fruit|a banana plant|sweet
pear|fruit|a pear tree|sweet
orange|fruit|an orange tree|sweet and a little sour
lemon|fruit|a lemon tree|sour
cherry|fruit|a cherry tree|sweet
grape|fruit|a vine|sweet
strawberry|fruit|a small plant|sweet
peach|fruit|a peach tree|sweet
plum|fruit|a plum tree|sweet
mango|fruit|a mango tree|sweet
carrot|vegetable|the ground|a little sweet
potato|vegetable|the ground|mild
onion|vegetable|the ground|sharp
cabbage|vegetable|the field|mild
spinach|vegetable|the field|a little bitter
broccoli|vegetable|the field|a little bitter
pea|vegetable|a small plant|a little sweet
cucumber|vegetable|a vine|fresh
pepper|vegetable|a small plant|fresh or hot
""")
MADE_OF = table("""
bread|flour, water and yeast
cheese|milk
butter|cream
yogurt|milk
ketchup|tomatoes
chips|potatoes
jam|fruit and sugar
a cake|flour, eggs, butter and sugar
an omelette|eggs
a pancake|flour, milk and eggs
pasta|flour and eggs
a salad|fresh vegetables
lemonade|lemons, water and sugar
chocolate|cocoa and sugar
wine|grapes
honey|nectar, and bees make it
paper|wood
glass|sand
a window|glass
a table|wood
a book|paper
a shirt|cotton
a jumper|wool
a shoe|leather
a ring|gold or silver
a brick|clay
a car|metal, glass and rubber
a tyre|rubber
a candle|wax
a snowman|snow
a sandwich|bread with something tasty inside
soup|water and vegetables
a pizza|dough, tomatoes and cheese
""")

# thing | definition. Read as "THING is DEFINITION."
DEFINITIONS = table("""
a bicycle|a vehicle with two wheels that you ride with your feet
a car|a vehicle with four wheels and an engine
a train|a long vehicle that runs on rails
a plane|a machine with wings that flies people through the air
a boat|a small ship that floats on water
a ship|a very large boat that crosses the sea
a rocket|a machine that flies into space
a bridge|a way over a river or a road
a house|a building where people live
a school|a place where children learn
a library|a place full of books that you can borrow
a hospital|a place where doctors help sick people
a museum|a place that shows old or beautiful things
a shop|a place where you buy things
a market|a place with many small shops
a garden|a place where flowers and vegetables grow
a forest|a place with many trees
a desert|a dry place with a lot of sand
a mountain|a very high hill made of rock
a river|water that flows to the sea
a lake|water with land all around it
an island|land with water all around it
the sea|a very large body of salt water
the sun|a star that gives us light and warmth
the moon|a ball of rock that goes around the Earth
a star|a far sun that shines at night
the Earth|the planet that we live on
a planet|a large ball that goes around a star
a cloud|many tiny drops of water in the sky
rain|water that falls from the clouds
snow|frozen water that falls in white flakes
ice|frozen water
wind|air that moves
a storm|bad weather with strong wind and rain
a rainbow|an arc of seven colours that you see after rain
fire|the hot light of something that burns
water|a clear liquid that we drink
a tree|a tall plant with a trunk and leaves
a flower|the colourful part of a plant
grass|a green plant that covers the ground
a seed|a small thing from which a plant grows
a book|many pages with words to read
a newspaper|paper with the news of the day
a letter|a message on paper
a story|words that tell what happened to someone
a poem|a short text that often rhymes
a song|music with words
a piano|an instrument with black and white keys
a guitar|an instrument with six strings
a drum|an instrument that you hit
a clock|a thing that shows the time
a map|a picture that shows where places are
a compass|a tool that shows where north is
a key|a small tool that opens a lock
a pen|a tool for writing with ink
a hammer|a tool for hitting nails
a spoon|a tool for eating soup
a knife|a tool for cutting
a lamp|a thing that gives light
a mirror|a glass in which you see yourself
a chair|a thing to sit on
a table|a flat thing with legs to put things on
a bed|a thing to sleep in
a door|a thing that you open to go into a room
a window|a glass in the wall that lets in light
a hat|a thing that you wear on your head
a shoe|a thing that you wear on your foot
a glove|a thing that you wear on your hand
an umbrella|a thing that keeps you dry in the rain
a computer|a machine that works with numbers and words
a robot|a machine that can move and do work
a telephone|a machine for talking to people far away
a camera|a machine that takes pictures
a fridge|a machine that keeps food cold
breakfast|the first meal of the day
lunch|the meal in the middle of the day
dinner|the meal in the evening
a friend|a person whom you like and trust
a family|parents and children who belong together
a baby|a very young child
a king|a man who rules a country
a queen|a woman who rules a country
a pirate|a sailor who robs other ships
a knight|a soldier of old times who rode a horse
a dragon|an animal in stories that flies and breathes fire
a wizard|a man in stories who can do magic
a birthday|the day on which you were born
a holiday|a time when you do not have to work
a game|something you play for fun
football|a game in which two teams kick a ball
chess|a board game with a king and a queen for each player
music|sounds that are nice to hear
a language model|a program that writes text, one small piece after another
a noun|a word for a person, a place or a thing
a verb|a word for something that you do
a number|a word or a sign that says how many
a triangle|a shape with three sides
a circle|a round shape
a square|a shape with four equal sides
love|a strong and warm feeling for someone
happiness|the good feeling when all is well
fear|the feeling when something seems dangerous
a dream|a story that you see when you sleep
""")

# job | does
JOBS = table("""
baker|bakes bread and cakes
teacher|helps students to learn
doctor|helps sick people to get well
nurse|cares for sick people
farmer|grows food and keeps animals
cook|makes tasty meals
pilot|flies planes
sailor|works on a ship
fisherman|catches fish
police officer|keeps people safe
firefighter|puts out fires
gardener|takes care of plants
painter|paints pictures or walls
singer|sings songs
dancer|dances on a stage
writer|writes books
builder|builds houses
carpenter|makes things of wood
tailor|makes clothes
dentist|takes care of teeth
vet|helps sick animals
bus driver|drives a bus
postman|brings letters
shopkeeper|sells things in a shop
waiter|brings food to the table
hairdresser|cuts hair
astronaut|flies into space
scientist|asks questions and tests the answers
judge|decides what is fair by law
miner|digs coal and metal from the ground
pirate|sails the sea and looks for treasure
king|rules a country
programmer|writes programs for computers
""")

# tool | to …
USES = table("""
a pen|write
a knife|cut bread
a spoon|eat soup
a fork|eat noodles
a cup|drink tea
a broom|sweep the floor
a towel|dry your hands
soap|wash your hands
a toothbrush|brush your teeth
a comb|comb your hair
a key|open a door
a lamp|read at night
an umbrella|stay dry in the rain
a bed|sleep
a chair|sit down
a hammer|hit nails
a saw|cut wood
a needle|sew clothes
scissors|cut paper
glue|stick things together
a rope|tie things together
a ladder|reach high places
a bucket|carry water
a shovel|dig a hole
a map|find the way
a clock|tell the time
a telephone|talk to people far away
a camera|take pictures
a bike|ride to school
an oven|bake a cake
a fridge|keep food cold
a kettle|boil water
a pillow|rest your head
a coat|keep warm
glasses|see better
a boat|cross a river
an anchor|keep a ship in its place
a telescope|look at the stars
""")

# word | rhymes
RHYMES = table("""
cat|hat, bat and mat
dog|frog, log and fog
tree|sea, bee and key
sun|fun, run and one
moon|spoon, soon and tune
star|car, far and jar
house|mouse
day|play, say and way
night|light, bright and right
rain|train, plane and again
ball|tall, wall and small
book|look, cook and hook
cake|lake, snake and make
king|ring, sing and thing
boat|coat, goat and note
fish|dish and wish
bed|red, head and bread
blue|shoe, two and you
bear|chair, hair and pear
snow|go, grow and slow
ship|trip, lip and skip
sand|hand, land and band
fox|box, rocks and socks
mice|nice, rice and ice
hill|mill, still and will
""")

# language | word | translation
TRANSLATIONS = table("""
French|hello|bonjour
French|goodbye|au revoir
French|thank you|merci
French|please|s'il vous plaît
French|yes|oui
French|no|non
French|cat|chat
French|dog|chien
French|friend|ami
French|water|eau
French|bread|pain
French|house|maison
French|love|amour
French|summer|été
Spanish|hello|hola
Spanish|goodbye|adiós
Spanish|thank you|gracias
Spanish|please|por favor
Spanish|yes|sí
Spanish|no|no
Spanish|cat|gato
Spanish|dog|perro
Spanish|friend|amigo
Spanish|water|agua
Spanish|bread|pan
Spanish|house|casa
Spanish|love|amor
Spanish|summer|verano
German|hello|hallo
German|goodbye|auf Wiedersehen
German|thank you|danke
German|please|bitte
German|yes|ja
German|no|nein
German|cat|Katze
German|dog|Hund
German|friend|Freund
German|water|Wasser
German|bread|Brot
German|house|Haus
German|love|Liebe
German|green|grün
Italian|hello|ciao
Italian|goodbye|arrivederci
Italian|thank you|grazie
Italian|please|per favore
Italian|yes|sì
Italian|no|no
Italian|cat|gatto
Italian|dog|cane
Italian|friend|amico
Italian|water|acqua
Italian|bread|pane
Italian|house|casa
Italian|love|amore
""")

# Lists to name things from.
LISTS = {
    "fruits": words("apples, pears, bananas, oranges, cherries, grapes, plums"),
    "vegetables": words("carrots, potatoes, onions, peas, spinach, cabbage"),
    "animals": words("dogs, cats, horses, cows, lions, bears, rabbits"),
    "birds": words("owls, ducks, eagles, crows, swans, parrots"),
    "colours": words("red, blue, green, yellow, orange, purple, pink"),
    "farm animals": words("cows, pigs, sheep, hens, goats, horses"),
    "sea animals": words("whales, dolphins, sharks, crabs, seals, turtles"),
    "insects": words("bees, ants, flies, beetles, butterflies"),
    "countries": words("France, Japan, Brazil, Egypt, Canada, India"),
    "cities": words("Paris, London, Tokyo, Rome, Berlin, Cairo"),
    "drinks": words("water, milk, tea, coffee, juice, lemonade"),
    "clothes": words("shirts, coats, hats, shoes, socks, gloves"),
    "tools": words("hammers, saws, shovels, ladders, scissors"),
    "jobs": words("teacher, doctor, baker, farmer, pilot, cook"),
    "sports": words("football, tennis, swimming, running, skiing"),
    "flowers": words("roses, tulips, violets, daisies, sunflowers"),
    "instruments": words("piano, guitar, violin, drum, flute"),
    "toys": words("balls, dolls, kites, blocks, puppets"),
    "planets": words("Mars, Venus, Earth, Jupiter, Saturn, Mercury"),
    "shapes": words("circles, squares, triangles, stars, hearts"),
    "things in a kitchen": words("an oven, a fridge, a spoon, a pan, a kettle"),
    "things in a school": words("books, pens, desks, chairs, a blackboard"),
    "vehicles": words("cars, trains, planes, bikes, boats, buses"),
    "family members": words("mother, father, sister, brother, grandmother"),
    "parts of the body": words("arms, legs, hands, feet, eyes, ears"),
    "feelings": words("happiness, sadness, anger, fear, love"),
}

# statement | true or false, with the reason as the answer
TRUTHS = table("""
Is fire hot|yes|fire is very hot
Is ice cold|yes|ice is very cold
Is ice hot|no|ice is very cold
Is the sky green|no|the sky is blue
Is the sky blue|yes|the sky is blue on a clear day
Is grass red|no|grass is green
Is snow white|yes|snow is white
Is milk black|no|milk is white
Is sugar sweet|yes|sugar is sweet
Is a lemon sweet|no|a lemon is sour
Is a whale a fish|no|a whale is a mammal
Is a bat a bird|no|a bat is a mammal that can fly
Is a spider an insect|no|a spider has eight legs, and insects have six
Is a dog an animal|yes|a dog is an animal
Is a rose an animal|no|a rose is a flower
Is the sun a star|yes|the sun is the star that is nearest to us
Is the Earth flat|no|the Earth is round
Is the moon made of cheese|no|the moon is made of rock
Is water wet|yes|water is wet
Is a stone soft|no|a stone is hard
Is Paris in France|yes|Paris is the capital of France
Is London in Spain|no|London is in England
Is a mouse bigger than a cat|no|a mouse is smaller than a cat
Is an elephant heavy|yes|an elephant is very heavy
Is Sunday a day|yes|Sunday is a day of the week
Is July a day|no|July is a month
Is gold a metal|yes|gold is a precious metal
Is wood a metal|no|wood comes from trees
Is glass made of sand|yes|glass is made of sand
Is coffee a drink|yes|coffee is a hot drink
Is ten more than five|yes|ten is five more than five
Is two more than nine|no|two is less than nine
Do birds have feathers|yes|all birds have feathers
Do fish live in trees|no|fish live in the water
Do cows eat meat|no|cows eat grass
Do cats like milk|yes|many cats like milk
Do plants need water|yes|plants need water and light
Do bees make honey|yes|bees make honey in their hive
Do people have wings|no|people have arms and legs
Do cars have wings|no|cars have wheels
Do snakes have legs|no|snakes have no legs
Do dogs lay eggs|no|dogs have puppies
Do hens lay eggs|yes|hens lay eggs
Do penguins fly|no|penguins swim very well, but they cannot fly
Can people breathe under water|no|people need air
Can stones swim|no|stones sink in water
Can wood float|yes|wood floats on water
Does the sun shine at night|no|at night we see the moon and the stars
Does rain fall from the clouds|yes|rain falls from the clouds
Does ice float on water|yes|ice floats on water
Does a car need a driver|yes|most cars need a driver
""")

# question | answer, for plain why-questions and small general knowledge
WHY = table("""
Why is the sky blue|The air spreads the blue part of the sunlight more than the rest, so the sky looks blue.
Why do leaves fall in autumn|Trees drop their leaves to save water and energy for the winter.
Why do we sleep|We sleep so that our body and our mind can rest.
Why do we eat|We eat because food gives us energy.
Why do we drink water|We drink water because our body needs it to work.
Why do birds sing|Birds sing to find a partner and to say that a place is theirs.
Why do cats purr|Cats purr when they feel safe and happy.
Why do dogs wag their tails|Dogs wag their tails when they are happy or excited.
Why does ice melt|Ice melts because warm air makes it turn into water.
Why does it rain|Water rises as vapour, makes clouds, and falls as rain.
Why is the sea salty|Rivers wash salt from the rocks into the sea.
Why do bees make honey|Bees make honey to have food in the winter.
Why do we brush our teeth|We brush our teeth to keep them clean and healthy.
Why do we wear coats|We wear coats to keep warm when it is cold.
Why do people laugh|People laugh when something is funny or when they are happy.
Why do people cry|People cry when they are sad, hurt or very happy.
Why do plants need light|Plants use light to make their food.
Why do fish have fins|Fish have fins to swim and to steer.
Why do we have night and day|The Earth turns around once a day, so we see the sun and then we do not.
Why is exercise good|Exercise makes the heart and the muscles strong.
Why should I read books|Books teach you new things and take you to new places.
Why do stars shine|Stars are very hot, so they give off light.
Why do boats float|Boats float because they push away more water than they weigh.
Why do we have seasons|The Earth is tilted as it goes around the sun, so the seasons change.
Who lives at the North Pole|Polar bears live near the North Pole.
What do plants need to grow|Plants need light, water and good soil.
What do we breathe|We breathe air.
Where does milk come from|Milk comes from cows.
Where do eggs come from|Eggs come from hens.
Where does honey come from|Honey comes from bees.
Where does wool come from|Wool comes from sheep.
Where does bread come from|Bread is baked by a baker from flour, water and yeast.
Where does the sun rise|The sun rises in the east.
Where does the sun set|The sun sets in the west.
What is the largest animal|The blue whale is the largest animal.
What is the tallest animal|The giraffe is the tallest animal.
What is the fastest animal on land|The cheetah is the fastest animal on land.
What is the king of the animals|People call the lion the king of the animals.
What is the largest planet|Jupiter is the largest planet that goes around our sun.
What is the nearest star|The sun is the star that is nearest to us.
What is the highest mountain|Mount Everest is the highest mountain.
What is the longest river|Many people say that the Nile is the longest river.
What is the largest ocean|The Pacific is the largest ocean.
What is the coldest season|Winter is the coldest season.
What is the warmest season|Summer is the warmest season.
What is man's best friend|People say that the dog is man's best friend.
What do you call frozen water|Frozen water is called ice.
What do you call a baby cat|A baby cat is called a kitten.
What language do people speak in Brazil|People in Brazil speak Portuguese.
What comes after night|After the night comes the morning.
What are the colours of the rainbow|The colours of the rainbow are red, orange, yellow, green, blue, indigo and violet.
What are the days of the week|The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.
What are the four seasons|The four seasons are spring, summer, autumn and winter.
What are the months of the year|The months are January, February, March, April, May, June, July, August, September, October, November and December.
What are the five senses|The five senses are sight, hearing, smell, taste and touch.
What is the alphabet|The alphabet is the list of letters from A to Z.
""")

# how do I … | steps
HOW_TO = table("""
make tea|Boil some water, pour it over the tea, and wait for three minutes. Then take out the tea and enjoy your cup.
make coffee|Boil some water and pour it slowly over the ground coffee. Add milk or sugar if you like.
make toast|Put a slice of bread in the toaster and wait until it is brown. Then put some butter on it.
make a sandwich|Take two slices of bread. Put cheese and a tomato between them, and your sandwich is ready.
make a salad|Wash some fresh vegetables and cut them. Add oil, a little salt and some lemon, and mix it all.
make soup|Cut some vegetables and cook them in water for half an hour. Add salt, and your soup is ready.
make pancakes|Mix flour, milk and eggs. Pour a little into a hot pan, wait, turn it over, and serve it with jam.
make an omelette|Beat three eggs with a little salt. Pour them into a hot pan with butter and wait until they are firm.
make lemonade|Press two lemons, add cold water and some sugar, and stir it well.
bake a cake|Mix flour, eggs, butter and sugar. Put it in a form and bake it in the oven for forty minutes.
bake bread|Mix flour, water, yeast and salt. Let the dough rest for an hour, and bake it until it is brown.
boil an egg|Put the egg in boiling water. Wait five minutes for a soft egg or ten minutes for a hard one.
cook rice|Put one cup of rice and two cups of water in a pot. Cook it slowly until the water is gone.
cook pasta|Boil a large pot of water with salt. Cook the pasta for ten minutes and pour off the water.
wash my hands|Use warm water and soap, rub your hands for twenty seconds, and dry them with a towel.
brush my teeth|Put a little toothpaste on your brush and brush all your teeth for two minutes.
sleep better|Go to bed at the same time every day, keep the room dark, and put away your screens.
wake up early|Go to bed early, set an alarm, and get up as soon as it rings.
make a friend|Smile, say hello, and ask what the other person likes. Be kind and listen well.
learn a language|Learn a few words every day, listen to songs, and talk to people as often as you can.
learn to swim|Start in shallow water with a teacher. Learn to float first, then move your arms and legs.
learn to ride a bike|Sit on the bike, look ahead, and push with your feet. Go slowly at first and do not give up.
plant a tree|Dig a hole, put the young tree in it, fill it with soil, and give it plenty of water.
grow tomatoes|Put the seeds in good soil in a sunny place, and give them water every day.
feed a cat|Give your cat some cat food twice a day and a bowl of fresh water.
walk a dog|Put the dog on a lead, go outside together, and let it run and smell for half an hour.
clean my room|Pick up your things first, then dust the shelves, and sweep the floor at the end.
write a letter|Start with a greeting, write what you want to say, and end with your name.
write a story|Think of a hero, a problem and a happy end. Then write it down, one step after another.
draw a house|Draw a square for the walls and a triangle for the roof. Then add a door and two windows.
draw a cat|Draw a circle for the head, add two pointed ears, two eyes, a nose and some whiskers.
save money|Write down what you spend, buy only what you need, and put a little away each week.
stay healthy|Eat fruit and vegetables, drink water, move every day, and sleep enough.
get better at chess|Play often, look at your lost games, and learn one new idea each week.
build a snowman|Roll three large balls of snow, put them on top of each other, and add a carrot as the nose.
make a paper plane|Fold the paper in half, fold the corners to the middle, and fold down the wings.
calm down|Breathe in slowly, breathe out slowly, and count to ten. Take a short walk if you can.
cheer up a friend|Listen to your friend, say something kind, and do something nice together.
wrap a present|Put the present on the paper, fold the paper around it, and close it with tape and a ribbon.
find north|Use a compass. Its needle points to the north.
train a small language model|Choose a model, prepare some rows of text, and start a short run. Then compare the answers before and after.
""")

JOKES = [row[0] for row in table("""
Why did the cow go to the cinema? To see a moo-vie!
What do you call a bear with no teeth? A gummy bear!
Why did the student eat his homework? The teacher said it was a piece of cake!
What is orange and sounds like a parrot? A carrot!
Why can a bike not stand on its own? It is too tired!
What do you call a fish without an eye? A fsh!
Why did the tomato turn red? It saw the salad dressing!
What do clouds wear under their coats? Thunderwear!
Why was the maths book sad? It had too many problems!
What gets wet while it dries? A towel!
Why did the clock go to bed? It wanted to kill some time!
What do you call a sleeping cow? A bull-dozer!
""")]
RIDDLES = table("""
What has hands but cannot clap?|a clock
What has teeth but cannot bite?|a comb
What has a neck but no head?|a bottle
What has keys but opens no door?|a piano
What goes up but never comes down?|your age
What has four legs but cannot walk?|a table
What has one eye but cannot see?|a needle
What is full of holes but still holds water?|a sponge
What can you catch but not throw?|a cold
What has many leaves but is not a tree?|a book
""")

# A feeling that the person tells | the reply
FEELINGS = table("""
happy|That is wonderful! I am glad that you are happy. What made your day so good?
sad|I am sorry to hear that. I hope that you feel better soon. Do you want to hear a joke?
tired|Then you should rest a little. A short sleep can help a lot.
bored|Let us do something fun! I can tell you a story, a joke or a riddle.
hungry|Then it is time to eat something. How about a sandwich or some soup?
thirsty|Then drink a glass of water. That is good for you.
cold|Put on a warm jumper and drink some hot tea.
hot|Go into the shade and drink some cold water.
angry|Take a deep breath and count to ten. It often helps.
afraid|You are not alone. Breathe slowly and talk to someone whom you trust.
sick|I am sorry to hear that. Rest well, drink some tea, and see a doctor if it gets worse.
lonely|I am sorry to hear that. Maybe you can call a friend. I am happy to talk to you too.
excited|How nice! What are you looking forward to?
nervous|That is normal. Breathe slowly, and think of something that you do well.
proud|You can be proud! Well done!
confused|That can happen. Tell me what you want to know, and I will try to help.
late|Then hurry up, but be careful on your way!
lost|Stay calm. Look at a map or ask a friendly person for the way.
busy|Then take it one step at a time, and do not forget to rest.
""")

# Words that the model says it does not know.
HARD_TOPICS = words("""quantum physics, the stock market, black holes, the French Revolution, the Roman Empire, string theory, tax law,
politics, machine code, chemistry, algebra, genetics, inflation, philosophy, psychology, the theory of relativity, blockchain,
world history, the human brain, thermodynamics, photosynthesis, plate tectonics, democracy, the big bang, calculus, evolution,
economics, the internet, electricity, magnetism, nuclear power, vaccines, opera, the Middle Ages, the Olympic Games, surgery""")
HARD_WORDS = words("""a transistor, a neutron, a mortgage, an enzyme, a logarithm, a catalyst, a galaxy, a symphony, a parliament, a molecule,
an algorithm, a derivative, a protein, a comet, a turbine, a vaccine, a sonnet, a fossil, a virus, a mineral, a neuron,
a theorem, a hologram, an isotope, a chromosome, a paradox, a metaphor, a pension, an embargo, a glacier""")
VERBS = words("""dream, vote, pay, dance at night, write letters, travel, fall, hide, fight, wait, hurry, change, break, return, appear, smile, disagree,
remember, wear glasses, count, melt, explode""")
IDEAS = words("""life, time, art, power, truth, money, beauty, science, war, justice, success, death, fashion, trade, religion, education, freedom, cooking,
painting, medicine, farming, writing, travel, memory, language, luck""")
HARD_TASKS = words("""write a program, fix my computer, translate this book, write an essay, do my taxes, repair my car, write a contract,
plan my wedding, choose a phone, find a flat, file a complaint, solve this equation, write a Python function, build a website,
book a flight, order a pizza, call my mother, send an email, play a song, open a file, buy a ticket, set an alarm""")
LIVE_TOPICS = words("""the weather today, the weather like tomorrow, the time, the time now, the date, the date today, the news,
the latest news, the score of the game, the price of gold""")
SURNAMES = words("""Miller, Smith, Novak, Tanaka, Garcia, Rossi, Weber, Dupont, Larsen, Kowalski, Nagy, Silva, Okafor, Haddad, Petrov,
Jansen, Lindqvist, Moreau, Castillo, Becker, Ferrari, Yamada, Singh, Kumar, Abe, Fischer, Brown, Wilson, Taylor, Clark""")
