"""The texts of make_golden_tokenizers.py: what its tokenizers are trained on, and what they are tried on."""

import random

SUBJECTS = ["The model", "A small river", "Every engineer", "Nobody", "The old library", "She",
            "He", "They", "This layer", "A quantized weight", "The city of Plymouth", "It"]
VERBS = ["doesn't read", "wouldn't keep", "measures", "squeezes", "writes down", "can't find",
         "remembers", "has multiplied", "won't forget", "they've seen", "counts", "I'm told, loses"]
OBJECTS = ["the tables", "three books", "all of its outliers", "an index", "many tokens",
           "the answer", "2048 windows", "a lookup table", "nothing at all", "1,234.56 dollars",
           "the year 1999", "every second word"]
ENDS = [".", "!", "?", " ...", ";", ", again and again.", " (see below).", ' "quoted" .', "\n",
        "\n\n"]
FOREIGN = ["Größe und Maß überall", "où êtes-vous déjà allé ?", "¿dónde está el niño?",
           "Москва и река", "Ελληνικά γράμματα", "漢字とかなの文章です。", "한국어 문장", "שלום עולם",
           "مرحبا بالعالم", "हिन्दी में", "😀 🎉 👍🏽 👩‍👩‍👧‍👦 🇫🇷", "x² + y³ = ½",
           "for (int i = 0; i < n; ++i) {\n\t"
           "sum += a[i];\n}\n", "    return None\n", "http://example.com/?q=1&r=2"]


def training_text():
    rng = random.Random(1)
    lines = []
    for i in range(4000):
        sentence = " ".join((rng.choice(SUBJECTS), rng.choice(VERBS), rng.choice(OBJECTS)))
        lines.append(sentence + rng.choice(ENDS))
        if i % 9 == 0:
            lines.append(rng.choice(FOREIGN))
        if i % 15 == 0:
            lines.append(str(rng.randint(0, 10**rng.randint(1, 8))))
    return lines


NASTY = [
    "", " ", "  ", "\n", "\n\n", " \n ", "\t", "\r\n", "a", " a", "a ", "  a  ", "\n a", "a\n\n\nb",
    "Hello, world!", "The model doesn't read 2048 windows.", "DON'T Don't don't DON't d'ont",
    "I'M we'LL they'Ve you'RE he'D it'S 's 'S ''s 'ſ 'Kelvin'K", "' 's' t 're", "don’t",
    "1", "12", "123", "1234", "12345678901234567890", "3.14159", "1,234,567", "x1y22z333",
    "٠١٢٣", "½²³₄", "Ⅷ 〇一二", "①②", " 1 2  3   4", "9" * 50,
    "漢字とかなの文章です。", "한국어 문장", "中文english中文 123中文", "𠀀𠀁 𪜀", "ｆｕｌｌ　ｗｉｄｔｈ",
    "é e\u0301 ñ n\u0303", "Z̷̢̛a̸l̵g̴o̶", "\u0301", " \u0301a", "ǆ Ǆ ǅ", "ß ẞ ﬁ ﬆ", "İ i̇ ı",
    "שלום עולם", "مرحبا بالعالم ١٢٣", "abc אבג 123 \u202eevil\u202c", "हिन्दी में",
    "ไทยไม่มีช่องว่าง",
    "😀", "😀😀", "👍🏽", "👩‍👩‍👧‍👦", "🇫🇷🇩🇪🇯", "🏳️‍🌈", "a😀b", " 😀 ", "❤️", "1️⃣", "\U0001fae8",
    "\x00", "a\x00b", "\x01\x02\x1f\x7f", "\x85", "\u00a0", "a\u00a0b", "\u2028\u2029",
    "\u3000\u3000x",
    "\u200b", "a\u200bb", "\u180e", " \u180e ", "a\u180eb", "\ufeffBOM", "\ufffd", "\uffff\ufffe",
    "\U0010ffff", "\ue000", "\u2003x\u2003", "\x0b\x0c", "\x1c\x1d", "   \u00a0   x", "\r",
    "\r\r\n\n\r",
    " " * 7, " " * 7 + "x", "x" + " " * 7, "\t" * 5 + "x", "\n" * 9, "\n" * 9 + "x", " \t\n\r" * 6,
    "x  \n  y", "    return None\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
    "!!!???...", "a.b,c;d:e", "---___===", "(([[{{<<", "/\\|", "@#$%^&*", "``''\"\"", "…—–·",
    "«»„“”",
    "€£¥₿", "∑∫√∞≠", "→←↑↓", "http://example.com/?q=1&r=2#x", "user@example.com",
    "C:\\dir\\file.txt",
    "camelCaseSnake_case-kebab", "ALLCAPS lower Mixed", "zqxj", " zqxj", "zqxj zqxj", "azqxj",
    "<s>", "</s>", "<unk>", " <s>", "<s> ", "<s>a", "a<s>", "a <s> b", "<s><s></s>", "<s>  x",
    "<unk> x <unk>x", "< s>", "<S>", "<s", "s>", "<0x0A>", "▁", "▁a▁b", "a▁ b", "\n<s>\n",
    "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>",
    "<|endoftext|", "<|begin_of_text|>x<|eot|>", "<|begin_of_text|>",
    "<|im_start|>user\nHi<|im_end|>\n",
    "a  <left>  b", "<left>", "\n<left>x", "a  <right>  b", "<right>\n\n\nx", "<both> <both>",
    "  <left><right>  ", "word", "words", "sword", " word ", "word_", "word\u0301", "word\u200d",
    "(word)",
    "a<|im_end|>b", "<|im_end|>", "<|im_end|> <s>x", "<|im_end|>▁x", "e\u0301\u0323x", "\u1100\u1161\u11a8",
    "\ub300\u11a7", "\u212b\u2126", "\u0958", "\u07fd\u0327", "a\u0327\u07fd\u0327", "\U00011935\U00011930",
    "x" + "\t" * 12 + " " * 40 + "y", "<fim_prefix>a<fim_suffix>", "<mask_1><mask_11> <dummy_0><sep>",
    "<norm>", " <norm>x", "longer", "longest", "longlonger", "Ġ", "Ċ", "aĠb", "Ā",
]

LONG = [["a", 10000], [" ", 10000], ["\n", 10000], ["ab ", 4000], ["漢", 5000], ["1", 10000],
        ["😀", 3000],
        [" \t", 5000], ["!", 10000], ["e\u0301", 5000], ["<|endoftext|>", 500], ["<s>", 1000],
        ["The model doesn't read 2048 windows. ", 300]]


def fuzz_texts(count):
    rng = random.Random(2)
    pools = ["abcdefghijklmnopqrstuvwxyz ", "  \t\n\r\x0b\x0c", "0123456789٣½Ⅷ",
             "'sS'tT're'VE'm'll'D ",
             "éèñßſKµ", "漢字かな한국어", "אבגم",
             "\u0301\u0327\u200d\ufe0f\u200b\u00a0\u2003\u3000\u180e\u2028\x85",
             "😀👩🇫🏽", "\x00\x01\x7f\ufeff\ufffd", "!?.,;:-_()[]{}<>|/\\\"#$%&*+=@^`~"]
    whole = ["<s>", "</s>", "<unk>", "<|endoftext|>", "<left>", "<right>", "<both>", "word",
             "<norm>", "longer",
             "<|begin_of_text|>", "<|im_start|>", "the model", " doesn't", " squeezes", "2048"]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 12)):
            if rng.random() < 0.2:
                parts.append(rng.choice(whole))
            elif rng.random() < 0.1:
                parts.append(chr(rng.choice((rng.randint(0, 0x2fff), rng.randint(0x3000, 0xd7ff),
                                             rng.randint(0xe000, 0x1ffff)))))
            else:
                pool = rng.choice(pools)
                parts.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 4))))
        texts.append("".join(parts))
    return texts
