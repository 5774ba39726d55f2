"""What the people of a demonstration say: templates of short texts on everyday topics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """Sentences on one matter.

    Slots: `{thing}` (one of `things`), `{when}` (this morning, this afternoon, tonight), `{n}` (3 to 12),
    `{friend}` in `together` and `{place}` in `outings`.
    """

    name: str
    tags: tuple[str, ...]
    things: tuple[str, ...]
    lines: tuple[str, ...]
    together: tuple[str, ...]
    outings: tuple[str, ...]
    endings: tuple[str, ...]


BIOS = (
    "{First}, {second} and too many open tabs. {city}.",
    "Lives in {city}. Mostly {first}, sometimes {second}.",
    "{city} born, {city} raised. Ask me about {first}.",
    "Here for {first} and {second}.",
    "Slow mornings, {first}, {second}. Based in {city}.",
    "Opinions on {first} are my own; opinions on {second} are my grandmother's.",
    "Learning {first} one mistake at a time. {city}.",
    "{First} by day, {second} by night.",
)

TOPICS = (
    Topic(
        "cooking",
        ("cooking", "recipes", "kitchen"),
        (
            "lentil soup",
            "jollof rice",
            "dumplings",
            "sourdough",
            "mole",
            "pierogi",
            "okonomiyaki",
            "dal",
            "shakshuka",
            "phở",
            "plum cake",
            "kimchi stew",
            "tagine",
            "focaccia",
            "injera",
        ),
        (
            "First attempt at {thing} {when}. It fell apart a little, but nobody left any.",
            "There is {thing} on the stove and the whole stairwell smells of it.",
            'My aunt finally gave me her recipe for {thing}. It says "enough flour" and nothing else.',
            "Made {thing} for {n}. We were four. No regrets.",
            "Does anybody have a good recipe for {thing}? Mine always comes out dry.",
            "The secret of {thing} is patience, and I have none.",
            "Burnt the first {thing}, over-salted the second, and the third one was perfect.",
        ),
        (
            "{friend} came over and taught me how to make {thing} properly.",
            "Promised {friend} the recipe for {thing}, so here I am, measuring things for once.",
            "Cooking {thing} with {friend} {when}. Bring bread if you come by.",
        ),
        (
            "Best {thing} of the year in a tiny place in {place}.",
            "Market day in {place}: bought far too many herbs.",
        ),
        (
            "Leftovers tomorrow.",
            "More garlic next time.",
            "The dog approves.",
            "Recipe on request.",
            "Ten out of ten.",
        ),
    ),
    Topic(
        "gardening",
        ("garden", "plants", "balcony"),
        (
            "tomatoes",
            "basil",
            "sweet peas",
            "beans",
            "chillies",
            "strawberries",
            "figs",
            "marigolds",
            "potatoes",
            "mint",
            "courgettes",
        ),
        (
            "The {thing} survived the storm. I nearly did not, holding the trellis.",
            "{n} pots of {thing} on the balcony, and still no room for a chair.",
            "Something is eating my {thing} and it is not me.",
            "Planted out the {thing} {when}. Please, no frost.",
            "Giving away {thing}: far too many this year. Come by with a bag.",
            "Talked to the {thing} for ten minutes before I noticed the neighbour listening.",
            "Is it too late in the year for {thing}?",
        ),
        (
            "{friend}, your {thing} are taller than mine and I am trying to be happy for you.",
            "Swapped seeds with {friend}: my {thing} for a bag of mystery bulbs.",
        ),
        (
            "The botanical garden in {place} has a whole greenhouse of {thing}.",
            "Saw {thing} growing wild just outside {place}.",
        ),
        ("Mud everywhere.", "Worth it.", "The slugs have been informed.", "Spring can come.", "My back disagrees."),
    ),
    Topic(
        "walking",
        ("hiking", "outdoors", "walks"),
        ("fog", "sunshine", "drizzle", "wind", "snow", "heat", "mud"),
        (
            "{n} kilometres in {thing} {when} and I would do it again.",
            "Went out for bread, came back two hours later. The {thing} was too good to miss.",
            "Took the long way home through the {thing}.",
            "New boots, {n} blisters, plenty of {thing}.",
            "The path along the river is open again. All {thing} and herons.",
            "We got lost twice and found the best view both times.",
        ),
        (
            "Up before dawn with {friend}. {n} kilometres, two flasks of tea.",
            '{friend} said "just a short walk". That was {n} kilometres ago.',
            "Who joins {friend} and me for a walk on Sunday?",
        ),
        (
            "Climbed the hill above {place} {when}. You can see everything from there.",
            "A whole day on foot around {place}, nothing but {thing}.",
            "{place} in the {thing} is something else.",
        ),
        ("Legs of jelly.", "Tea now.", "Same again next week?", "Not a soul around.", "I needed that."),
    ),
    Topic(
        "books",
        ("books", "reading", "library"),
        (
            "a detective novel",
            "a book about moss",
            "an old atlas",
            "a family saga",
            "a volume of poems",
            "a history of salt",
            "a ghost story",
            "a biography of a lighthouse keeper",
            "a space opera",
        ),
        (
            "Stayed up until two with {thing}. Tired, but now I know who did it.",
            "Reading {thing} on the tram, missed my stop by {n}.",
            "Found {thing} in the box outside the library, with somebody's notes in the margin.",
            "Gave up on {thing} after {n} pages. Life is short.",
            "What should I read after {thing}?",
            "Started {thing} {when}, and the phone is now in another room.",
        ),
        (
            "{friend} lent me {thing} in spring. I finally opened it and I owe you an apology.",
            "Book club at {friend}'s: {thing}, soup, and one long argument.",
        ),
        (
            "A second-hand bookshop in {place}, and an hour gone.",
            "Bought {thing} from a stall by the station in {place}.",
        ),
        (
            "No spoilers, please.",
            "Strongly recommended.",
            "The cat sat on the ending.",
            "My shelf is full.",
            "Next!",
        ),
    ),
    Topic(
        "music",
        ("music", "nowplaying", "concert"),
        (
            "the accordion",
            "my old bass",
            "the choir",
            "the oud",
            "a borrowed cello",
            "the mbira",
            "the fiddle",
            "the drums downstairs",
            "the piano at the station",
        ),
        (
            "Practised on {thing} until the neighbours clapped. Or knocked. Hard to tell.",
            "{n} minutes with {thing} {when} and the whole day sounds better.",
            "That one song is stuck in my head again, played on {thing}, for ever.",
            "Nobody told me that {thing} would be so heavy on the stairs.",
            "Rehearsal for {thing} went well: we started and finished together.",
            "An album from start to finish, lights off. When did we stop doing that?",
        ),
        (
            "{friend} sang, I kept time, and the soup boiled over.",
            "Tickets for Saturday! {friend}, you are coming and that is that.",
            "Duet with {friend} {when}. We only stopped {n} times.",
        ),
        (
            "A brass band in the middle of {place}, just like that.",
            "Heard {thing} through an open window in {place} and stood there for a while.",
        ),
        ("Encore.", "Ears still ringing.", "Goosebumps.", "Sorry, neighbours.", "Louder next time."),
    ),
    Topic(
        "cycling",
        ("cycling", "bike", "commute"),
        ("the chain", "the back tyre", "the bell", "the front brake", "the saddle", "the lamp"),
        (
            "Fixed {thing} myself {when}. Only {n} parts left over.",
            "Headwind both ways. How is that possible?",
            "A stranger at the lights told me that {thing} was loose. Thank you, stranger.",
            "{n} kilometres before breakfast, and {thing} held.",
            "The new cycle lane is open, and it is glorious.",
            "Note to self: {thing} does not mend itself over the winter.",
        ),
        (
            "{friend} overtook me on the hill, whistling. Whistling!",
            "Weekend ride with {friend}: {n} bridges, one ice cream each. Well, two.",
        ),
        (
            "Rolled into {place} {when} with salt on my face.",
            "Rented a bicycle in {place}. The brakes are a matter of faith.",
        ),
        ("Helmet hair.", "Still faster than the bus.", "Legs: empty.", "Rain tomorrow, of course.", "Bliss."),
    ),
    Topic(
        "football",
        ("football", "matchday"),
        (
            "a late goal",
            "two own goals",
            "a penalty in the rain",
            "a red card",
            "extra time",
            "a header off the bar",
        ),
        (
            "Lost my voice over {thing}.",
            "Our Sunday side won for once: {thing}, and pandemonium.",
            "{n} to nil. Let us not speak of it.",
            "Watching with my uncle, who has seen {thing} coming since minute one.",
            "Training {when}: {n} of us, one ball, much shouting.",
            "How do you lose after {thing}? Asking for my whole street.",
        ),
        (
            "{friend} in goal {when}. We are doomed, and it will be fun.",
            "Told you so, {friend}. You owe me a coffee.",
        ),
        (
            "The whole of {place} is on the street after {thing}.",
            "Found the one bar in {place} that shows our match.",
        ),
        ("What a night.", "Next year, then.", "Never in doubt.", "My poor knees.", "Referee!"),
    ),
    Topic(
        "cats",
        ("cats", "catsofthetimeline"),
        (
            "the keyboard",
            "my jumper",
            "the clean laundry",
            "the letter I was writing",
            "the warm oven door",
            "a box half her size",
        ),
        (
            "The cat has chosen {thing}. The cat will not be moved.",
            "She ignored the new bed and slept on {thing}. Of course.",
            "{n} in the morning: concert for one cat and an empty bowl.",
            'Vet says that she is "well-covered". She is offended.',
            "Opened one tin {when}, and suddenly I am loved.",
            "A pigeon looked at the cat. The cat looked at me. I did nothing. We are not speaking.",
        ),
        (
            "{friend} is feeding the cat this week and she has not written once.",
            "Introduced the cat to {friend}. Hissing, then {thing}, then friendship.",
        ),
        ("Every doorstep in {place} has a cat on it.", "Made a friend in {place}: ginger, one ear, very loud."),
        ("Send help.", "I live here too.", "No regrets.", "Purring since.", "Who owns whom?"),
    ),
    Topic(
        "work",
        ("work", "office"),
        (
            "the printer",
            "the coffee machine",
            "the spreadsheet",
            "the projector",
            "the meeting room",
            "the badge reader",
        ),
        (
            "Today {thing} won.",
            "{n} meetings, and all of them were about {thing}.",
            'Somebody has labelled {thing} "do not ask". I asked.',
            "Last day before the holidays. {thing} can wait.",
            "New job starts on Monday! Nervous, pleased, and without ironed shirts.",
            "Solved it {when}, after staring at it for two days. It was a comma.",
            "Anyone else hear {thing} humming when the room is empty?",
        ),
        (
            "{friend} brought cake to the office, so {thing} is forgiven.",
            "Lunch with {friend} saved the day.",
        ),
        (
            "Working from {place} this week. The view is no help at all.",
            "Conference in {place}: {n} talks, nine coffees, one good idea.",
        ),
        ("Weekend, please.", "Onward.", "Could be worse.", "Tea helps.", "I said what I said."),
    ),
    Topic(
        "family",
        ("family", "kids"),
        ("dinosaurs", "the moon", "volcanoes", "tram lines", "sharks", "why cheese has holes"),
        (
            "My daughter explained {thing} to me for an hour. I learned a lot.",
            "Grandmother turns ninety on Sunday. There will be {n} cakes.",
            '"Papa, can you explain {thing}?" At six in the morning.',
            "First tooth lost {when}! It is in a matchbox, under guard.",
            "The little one drew our family. I have {n} arms.",
            "Called my mother. She had already heard, of course.",
            "Bedtime story, version {n}: still about {thing}.",
        ),
        (
            "{friend} and the children built a fort out of every cushion we own.",
            "Thank you, {friend}, for minding the twins {when}. The biscuits are on me.",
        ),
        (
            "Three generations on one bench in {place}.",
            "Took my parents to {place} for the day. Father walked us all into the ground.",
        ),
        ("My heart.", "So quiet now.", "Time flies.", "I need a nap.", "More cake, please."),
    ),
    Topic(
        "weather",
        ("weather", "sky"),
        ("hail", "a double rainbow", "thunder", "fog", "the first frost", "dust", "a red sky"),
        (
            "Laundry out: {thing} within the hour. I have a gift.",
            "{thing} {when}. The forecast had said sunny.",
            "Sat at the window and watched {thing} come in over the roofs.",
            "Everybody on the tram looked up at once: {thing}.",
            "After {n} grey days: light!",
            "The air smells of rain, and the street has gone quiet.",
        ),
        (
            "{friend}, did you see {thing} from your side of town?",
            "Sheltering in a doorway with {friend} and a wet umbrella.",
        ),
        ("Sunset over {place} {when}. No filter, no words.", "{place}, {thing}, and me without a coat."),
        ("Stay dry.", "Beautiful.", "Autumn is here.", "Hot chocolate it is.", "Wow."),
    ),
    Topic(
        "films",
        ("film", "cinema"),
        (
            "a three-hour western",
            "an old musical",
            "a film about bees",
            "a silent comedy",
            "that heist film",
            "a slow one about the sea",
        ),
        (
            "Cried at {thing}. In public. Again.",
            "{thing} at the open-air cinema {when}. Bring a blanket.",
            "Fell asleep in {thing} and woke up to applause.",
            "Third time I have seen {thing}, and I still missed that detail.",
            "The small cinema on the corner is showing {thing} all week.",
            "Unpopular opinion: {thing} was {n} minutes too short.",
        ),
        (
            "{friend} chose {thing}. Next time I choose.",
            "Front row with {friend} and a bucket of popcorn for {n}.",
        ),
        (
            "They are shooting a film in {place} and closed our whole street.",
            "Tiny cinema in {place}, {n} seats, perfect evening.",
        ),
        ("Go and see it.", "Two thumbs.", "What an ending.", "I have questions.", "Popcorn for supper."),
    ),
    Topic(
        "moving house",
        ("home", "diy", "moving"),
        ("the shelf", "the wardrobe", "the lamp", "the sofa", "the tap", "the front door"),
        (
            "Day {n} of painting. I am now mostly white.",
            "Put up {thing} {when}. It is level if you tilt your head.",
            "Measured twice, cut once, and {thing} is still too short.",
            "Keys! We have keys! No furniture, but keys.",
            "Can anyone lend me a drill? It is about {thing}.",
            "Found a note from 1974 behind {thing}.",
        ),
        (
            "{friend} carried {thing} up {n} flights of stairs. A friend for life.",
            "Housewarming on Saturday. {friend} makes the punch, so eat something first.",
        ),
        (
            "Looked at a flat in {place}. The kitchen was a cupboard. The cupboard was not.",
            "New address: {place}! Come and visit.",
        ),
        ("Nearly there.", "My arms.", "Pizza on boxes.", "It holds.", "Never again."),
    ),
    Topic(
        "trains",
        ("trains", "travel", "onthemove"),
        ("the night train", "the slow ferry", "the early bus", "the rack railway", "the last tram", "the sleeper"),
        (
            "On {thing}, with cheese, a window seat and no plan.",
            "Delayed by {n} minutes; somebody has taken out a guitar.",
            "There is no better place to think than {thing}.",
            "Missed {thing} by seconds. Found an excellent bakery instead.",
            "Packed {when}. Forgot the charger, as is tradition.",
            "An old lady on {thing} shared her plums with the whole carriage.",
        ),
        (
            "Three hours on {thing} with {friend} and we still have not run out of things to say.",
            "{friend} waved until the train was out of sight.",
        ),
        (
            "Arrived in {place} at last. First impression: the light.",
            "Changing in {place}, forty minutes, one coffee, nice station.",
            "Last evening in {place}. I do not want to leave.",
        ),
        ("Onwards.", "Postcards to follow.", "Where next?", "Home tomorrow.", "Window seat for ever."),
    ),
    Topic(
        "languages",
        ("language", "learning"),
        ("Welsh", "Swahili", "Japanese", "Portuguese", "Arabic", "Quechua", "Finnish", "sign language", "Bengali"),
        (
            "Lesson {n} of {thing}: I can now order soup and apologise.",
            "Dreamed in {thing} {when}. I understood about half.",
            "Favourite new word in {thing}: the one for the glow after a good meal.",
            "Said something in {thing} at the bakery, and they answered! In English, but still.",
            "Is anybody up for practising {thing} once a week?",
            "The verbs of {thing} have it in for me.",
        ),
        (
            "{friend} corrects my {thing} with great kindness and visible pain.",
            "Twenty minutes of {thing} with {friend}. Brain: porridge.",
        ),
        (
            "A day in {place}, no English at all, and I managed.",
            "Evening class in {place}: {n} of us, one dictionary.",
        ),
        ("Small steps.", "Practice, practice.", "Proud of this one.", "The accent will come.", "Again tomorrow."),
    ),
    Topic(
        "coffee",
        ("coffee", "morning", "cafe"),
        ("the corner place", "the new roastery", "the bakery by the bridge", "my kitchen", "the station kiosk"),
        (
            "First cup {when}, at {thing}. Now we may talk.",
            "{n} cups is not too many. It is a number.",
            "The one at {thing} remembers my order, and I feel like a local at last.",
            "Out of coffee. Out of tea. This is a message in a bottle.",
            "Somebody paid for my cup at {thing}. Passing it on tomorrow.",
            "Rain, a croissant, and the good table at {thing}.",
        ),
        (
            "An hour at {thing} with {friend}: world put to rights.",
            "{friend}, same table, same time?",
        ),
        (
            "Best espresso in {place}, down a staircase, no sign.",
            "Sitting in the sun in {place} with a small, strong coffee.",
        ),
        ("Awake.", "Perfect.", "One more.", "Recommended.", "Slowly now."),
    ),
)
