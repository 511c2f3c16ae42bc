"""Producer and consumer: jobs make records, the program files each as soon as it is there.

    python make_and_check.py [--processes]

Only the import differs. The producers finish in any order; at most four batches are under way, so
that the consumer is never buried.
"""

import concurrent.futures
import sys

if "--processes" in sys.argv:
    from concurrent.futures import ProcessPoolExecutor as Pool
else:
    from objtunnel import InterpreterPoolExecutor as Pool

BATCHES, SIZE, AHEAD = 20, 500, 4


class Record:
    def __init__(self, number):
        self.number = number
        self.divisors = [d for d in range(1, 40) if number % d == 0]


def make(batch):
    """What a producer does."""
    if batch == 13:
        raise ValueError("batch 13 cannot be made")
    return [Record(number) for number in range(batch * SIZE, (batch + 1) * SIZE)]


def main():
    filed, failed = {}, []
    batches = iter(range(BATCHES))
    with Pool(2) as pool:
        running = {pool.submit(make, batch) for _, batch in zip(range(AHEAD), batches)}
        while running:
            done, running = concurrent.futures.wait(running, return_when="FIRST_COMPLETED")
            for future in done:
                try:
                    filed.update((record.number, record) for record in future.result())
                except ValueError as error:
                    failed.append(str(error))
                running |= {pool.submit(make, batch) for _, batch in zip(range(1), batches)}
    print(len(filed), "records;", sum(len(record.divisors) for record in filed.values()), "divisors;", *failed)


if __name__ == "__main__":
    main()
