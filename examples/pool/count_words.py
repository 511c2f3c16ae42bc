"""A map over files: which words are most frequent in them?

    python count_words.py FILE...                 with objtunnel's pool
    python count_words.py --processes FILE...     with the standard library's

Only the import differs.
"""

import collections
import sys

if "--processes" in sys.argv:
    from concurrent.futures import ProcessPoolExecutor as Pool
else:
    from objtunnel import InterpreterPoolExecutor as Pool


def count(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return collections.Counter(word.strip(".,;:!?()\"'").lower() for line in file for word in line.split())


def main(paths):
    total = collections.Counter()
    with Pool() as pool:
        for words in pool.map(count, paths):
            total.update(words)
    for word, n in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:5]:
        print(n, word)


if __name__ == "__main__":
    main([argument for argument in sys.argv[1:] if not argument.startswith("--")])
