"""The 280 texts that the example carries, made up for it: of each of 20 emojis fourteen."""

TEXTS = {
    "❤": """
so much love for my little sister today
I love this family with my whole heart
grandma's hands, my favourite place to be, love you always
love is a warm kitchen and old friends
ten years married and I love him more each day
my heart is full, thank you all for the love
missing my mum, love you to the moon
this old dog has my whole heart
love the people who stay
heart full after a weekend at home
all my love to the nurses of ward six
my brother came home, love him so much
a letter from dad, my heart
we love our new neighbours already
""",
    "😍": """
this dress is gorgeous, I am obsessed
look at that view from the balcony, gorgeous
the cake looks amazing, cannot stop staring
obsessed with these new boots
her eyes are beautiful, wow
the prettiest kitten in the whole shelter
wow, that necklace is beautiful
these pancakes look so good, I want them all
in love with this colour on the walls, gorgeous
beautiful bride, beautiful dress, wow
that puppy face, obsessed
the new curtains are gorgeous, look at them
wow what a beautiful garden
cannot stop looking at these shoes, so pretty
""",
    "😂": """
I laughed so hard I spilled my coffee
he put salt in his tea, I am crying with laughter
this cat fell off the sofa again, hilarious
dad jokes at dinner, I cannot breathe
my phone corrected that to potato, hilarious
crying laughing at the school play
he waved at the wrong person for a minute, I am dead
funniest thing I have seen all week
the dog stole the ham, we could not stop laughing
autocorrect strikes again, crying
she sang the wrong words with confidence, hilarious
lol the printer has won again
laughing so loud the neighbours knocked
my uncle dancing is the funniest video ever
""",
    "💕": """
girls night with my best friends
my bestie and me since kindergarten
baby shower for my best friend, so sweet
sweetest little flower girl
sisters by heart, best friends for life
tea and gossip with my favourite girls
happy valentine to my bestie
my two babies hugging, the sweetest
bridesmaids and best friends
pink roses from my favourite girl
my best friend is having a baby girl
sweet cuddles with my girls this morning
reunited with my besties
friendship bracelets like when we were eight
""",
    "🔥": """
new track is fire, turn it up
this beat is hot, straight fire
the mixtape drops tonight, fire
that goal was fire, what a strike
hottest set of the festival
these wings are hot, pure fire
new kicks are fire
gym was on fire this morning, lifting heavy
dj is burning the place down tonight
verse two is pure heat
lit bonfire and loud music
chef put fire on that plate, so spicy
team is on fire, nine wins in a row
album of the year, every track is heat
""",
    "😊": """
thank you for the kind words, made my day
lovely morning, happy with my cup of tea
so happy to see you all again
nice walk, nice people, good day
thanks for the lovely birthday wishes
feeling grateful and happy today
finally finished my book, so happy
thank you for coming to our little shop
a kind stranger gave me his umbrella, thank you
good morning everyone, have a lovely day
happy little baker with her bread
so pleased with my exam, thanks for the help
thanks to my teacher for believing in me
a quiet evening and a happy cat
""",
    "😎": """
new shades, feeling cool
boss mode, deal closed before noon
cruising with the top down, so cool
too cool for school
guys trip, cool as ice
vip seats tonight, like a boss
cool jacket, cool bike, ready to ride
chilling by the pool with shades on
driving my new car like a boss
keep it cool, friday is here
leather jacket and dark shades
the coolest grandpa in town on his motorbike
smooth landing, cool captain
just chilling, nothing to prove
""",
    "✨": """
magic in the air tonight, glitter everywhere
shine bright, new year new glow
sparkling lights over the old town
glitter on my eyelids, magic in my shoes
make a wish, the stars are out
a night of magic at the theatre
golden glow, dreamy evening
new collection of sparkling rings
dream, sparkle, shine
stardust and fairy lights in the yard
the ballroom glows like a dream
wishes do come true, magic day
polished every glass until it sparkled
fresh nails with a little glitter
""",
    "💙": """
go blues, proud of this team in blue
blue sky, blue sea, blue heart
so proud of our boys in blue
autism awareness day, wear blue
blue jersey on, stadium ready
our little boy was born today, blue blanket ready
royal blue and white forever
my sorority sisters in blue
thank you officers in blue
sailing on the deep blue sea
cobalt blue is my colour
the blue team wins the cup
baby boy is here, welcome little man
blue hydrangeas from the market
""",
    "😘": """
good night kisses to my darling
happy birthday babe, kisses
kiss me before you go
my husband brought me breakfast, big kiss
see you soon my darling, kisses
blowing kisses to everyone who came
date night with my babe
happy anniversary my darling
sending kisses from far away
my babe surprised me with tulips, kiss
mwah, thank you gorgeous
a kiss for luck before the race
love you babe, see you tonight, mwah
kisses for the birthday girl
""",
    "📷": """
photo by my brother, taken on film
picture credit to the talented photographer of our club
photo of the day by @user
thanks for the photo, great shot by a friend
old camera, new roll of film, photo by me
photographer waited four hours for this picture
credit for this picture goes to @user
photo taken from the roof by @user
black and white photo of the harbour by a friend
picture by our own club photographer
a photo from last week by @user
repost of a picture by @user, photo credit below
the photographer caught the swallow in this photo
picture of the bridge in fog, film photo
""",
    "🇺🇸": """
happy fourth of july america
proud american, god bless america
thank you veterans for your service to our country
i voted today, election day in the usa
memorial day parade with flags
independence day fireworks over the capitol
team usa takes the gold
the white house in washington looks small
stars and stripes on every porch
welcome home soldier, america is proud
road trip across america, state by state
my first vote for president of the usa
veterans day breakfast, thank you for your service
usa usa usa, what a relay
""",
    "☀": """
sunny day at the beach, sunshine on my face
good morning sunshine, summer is here
sun is out, sandals on
soaking up the sun by the lake
summer sunshine and lemonade
beach day, sand and sun
a sunny sunday in the park
the sun came back after ten days of rain
sunscreen, hat, beach, repeat
warm sunny morning, coffee outside
sunrise run along the shore
summer holidays, sun and sea
sunny side of the street
sunbathing cats on the warm stones
""",
    "💜": """
purple is her favourite colour
lavender fields, purple as far as one can see
wearing purple for awareness of epilepsy
purple hair, do not care
our purple team walked for a cure
lilac and violet bouquet
relay for life, purple shirts everywhere
remembering prince in purple
purple jersey pride
violet eyeshadow and a purple scarf
orchids in purple on the windowsill
purple lights on the bridge for awareness
my grandmother's lavender soap
plum cake on a purple plate
""",
    "😉": """
you know what I mean, just saying
a little hint, look behind the door
come by after work, you know where
just between you and me, first drink is free
no filter needed, just saying
guess who is back in town
you know you want one
i may have a surprise for you, hint hint
see me at the bar, you know the password
nobody saw that, right
tickets are nearly gone, just saying
a certain someone may like this
do not tell the boss, you know the rule
wait and see, guess what is next
""",
    "💯": """
keep it one hundred, always real
facts, one hundred percent true
hard work pays off, no excuses
real friends stay real, facts
a hundred percent effort every day
stay real, stay hungry, grind
that is the truth, no lie
scored full marks, one hundred percent
no excuses, put in the work
loyal to the end, facts
grind now, shine later, real talk
real talk, respect is earned
true story, every word a fact
gave a hundred on the court tonight
""",
    "😁": """
got the job, big smile
cannot wait for saturday, so excited
grinning from ear to ear, we won
so excited for the concert tomorrow
new braces off, look at that smile
finally home with pizza, big grin
yay, passed my driving test
excited to start on monday, yay
cannot wait to meet the team
cheese, smile for the class picture day
all done, holidays start now, yay
my first marathon done, big grin
so excited, the puppy comes home tomorrow
smiling like a fool, we got the house
""",
    "🎄": """
merry christmas from our family
the christmas tree is up
decorating the tree with santa hats
christmas eve cookies for santa
holiday lights and carols in the snow
opening gifts under the tree
merry christmas and happy holidays to all
first christmas with the baby
ugly christmas sweater party tonight
santa came early this year
christmas market, mulled wine and carols
ornaments and tinsel everywhere, merry christmas
december means christmas movies
reindeer cookies for the christmas table
""",
    "📸": """
photoshoot today with the whole crew
caught on camera by @user at the wedding
snap by @user, behind the scenes
behind the scenes of our shoot, snap
headshots done, thanks for the shoot @user
selfie with the band, snap
flash on, pose, snap
editorial shoot in the desert, shot by @user
snapped by @user on the red carpet
studio day, lights, pose, flash
model test shoot with @user
new portfolio shots, shoot by @user
candid snap backstage
wedding shoot in the vineyard, shot by @user
""",
    "😜": """
silly faces with my crazy cousins
crazy night, silly hats
goofy as always, tongue out
being silly while mum is not looking
crazy selfie, do not judge
my goofball sister strikes again
just kidding, but not really
weird and proud, silly monday
crazy hair day at school
caught being goofy at work
silly dance in the kitchen, crazy kids
tongue out, it is the weekend
teasing my brother is a full time job, just kidding
goofy friends make crazy weekends
""",
}
