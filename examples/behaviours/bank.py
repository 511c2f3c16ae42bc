"""A bank: transfers between any two of a thousand accounts, while audits see all of them at one moment.

    python bank.py [TRANSFERS]

With locks, a transfer takes two of them in an order that all agree on, and an audit takes a thousand. Here each behaviour
names the boxes that it needs, in any order.
"""

import random
import sys

import objtunnel
from objtunnel import Box

ACCOUNTS, EACH = 1000, 100


def transfer(source, target, amount):
    @objtunnel.when(source, target)
    def _(source, target):
        account = source.value
        if account["balance"] >= amount:
            account["balance"] -= amount
            account["log"].append(-amount)
            target.value["balance"] += amount
            target.value["log"].append(amount)


def audit(accounts):
    @objtunnel.when(accounts)
    def total(accounts):
        return sum(account.value["balance"] for account in accounts)

    return total


def main(transfers):
    rng = random.Random(1)
    accounts = [Box({"balance": EACH, "log": []}) for _ in range(ACCOUNTS)]
    audits = []
    for i in range(transfers):
        source, target = rng.sample(accounts, 2)
        transfer(source, target, rng.randrange(1, 50))
        if i % 2500 == 2499:
            audits.append(audit(accounts))
    audits.append(audit(accounts))
    for number, total in enumerate(audits, 1):
        with total as money:
            print(f"audit {number}: {money}")
            assert money == ACCOUNTS * EACH


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
