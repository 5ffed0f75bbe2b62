"""The check digit of a PIN: all single errors and all swaps of neighbours are found, and the published example comes out.

Not for the PIN's entry: what the keypad does with a wrong one stands with the agent.
"""

from latchpin.wire.check_digit import _TABLE, damm


def valid(number):
    return damm(number) == "0"


def slips(number):
    """Each number that one wrong digit, or one swap of unequal neighbours, makes of `number`."""
    for at in range(len(number)):
        for digit in "0123456789":
            if digit != number[at]:
                yield number[:at] + digit + number[at + 1 :]
        if at and number[at] != number[at - 1]:
            yield number[: at - 1] + number[at] + number[at - 1] + number[at + 1 :]


def test_the_published_example_572_gets_the_check_digit_4():
    assert damm("572") == "4"
    assert valid("5724")
    assert not valid("5727")


def test_all_slips_in_all_numbers_of_three_digits_and_a_check_digit_are_found():
    for number in range(1000):
        number = "%03d" % number
        whole = number + damm(number)
        assert valid(whole)
        for wrong in slips(whole):
            assert not valid(wrong), (whole, wrong)


def test_a_difference_of_states_never_heals_so_the_finding_holds_for_every_length():
    # Whatever the digits behind an error are: two unequal states stay unequal (columns are permutations), an error makes
    # states unequal (rows are permutations), a swap too (total anti-symmetry). That is all of Damm's proof.
    table = [[_TABLE[10 * state + digit] - 48 for digit in range(10)] for state in range(10)]
    for state in range(10):
        assert sorted(table[state]) == list(range(10))
        assert sorted([row[state] for row in table]) == list(range(10))
        assert table[state][state] == 0
        for one in range(10):
            for other in range(one):
                assert table[table[state][one]][other] != table[table[state][other]][one]


def test_all_slips_in_pins_of_nine_digits_are_found():
    for seed in range(200):
        number = "%08d" % (seed * 499979 % 100000000)
        whole = number + damm(number)
        found = 0
        for wrong in slips(whole):
            assert not valid(wrong), (whole, wrong)
            found += 1
        assert found >= 81


def test_leading_zeros_count_as_digits_like_any_other():
    assert damm("") == "0"
    assert damm("0") == "0"
    assert damm("0572") == damm("572")
    assert valid("0" * 9)
