"""Numbers between two bounds, as a grammar: exactly those, digit by digit."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext

from astrollava.schema.nodes import Number

__all__ = ["number"]

#: Digits that a double keeps, whatever they are: numbers that differ in one of them differ.
_PRECISION = 15
#: Decimals written at most where bounds ask for no more, and where they do.
_DECIMALS = 6
_MOST_DECIMALS = 30
#: Numbers without a bound end here.
_FAR = Decimal(10) ** _PRECISION - 1


def number(node: Number) -> str:
    """Return the GBNF of the numbers a node allows; empty where that is none.

    Integers are those between the bounds, all of them. Other numbers are written with as many
    decimals as the bounds and what lies between them ask for, six at least where a double can keep
    them apart from the bounds; only numbers without bounds may have an exponent. A side without a
    bound ends fifteen digits from zero, or a factor of ten beyond the other bound.
    """
    if not node.integer and node.low is None and node.high is None:
        return '"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,6})? ([eE] [-+]? [0-9]{1,2})?'
    # Bounds have at most 30 digits before the point and are cut to 30 behind it.
    with localcontext(Context(prec=80)):
        low = node.low or (-max(_FAR, 10 * abs(node.high[0]) if node.high else _FAR), False)
        high = node.high or (max(_FAR, 10 * abs(low[0])), False)
        decimals = 0 if node.integer else _decimals(node, low[0], high[0])
        unit = Decimal(10) ** decimals
        first = int((low[0] * unit).to_integral_value(ROUND_CEILING))
        last = int((high[0] * unit).to_integral_value(ROUND_FLOOR))
        if low[1] and first == low[0] * unit:
            first += _step(first, node)
        if high[1] and last == high[0] * unit:
            last -= _step(last, node)
    return _between(first, last, decimals)


def _step(bound: int, node: Number) -> int:
    """Return how far from a bound a number has to be to differ from it as a double, too."""
    return 1 if node.integer else 10 ** max(0, len(str(abs(bound))) - _PRECISION)


def _decimals(node: Number, low: Decimal, high: Decimal) -> int:
    wanted = _DECIMALS
    for bound in (node.low, node.high):
        if bound is not None:
            wanted = max(wanted, -int(bound[0].normalize().as_tuple().exponent))
    # Three digits that tell values between the bounds apart.
    wanted = max(wanted, 3 - (high - low).adjusted())
    for bound in (node.low, node.high):
        if bound is not None and bound[0]:
            wanted = min(wanted, _PRECISION - 1 - bound[0].adjusted())
    return min(max(wanted, 0), _MOST_DECIMALS)


def _between(first: int, last: int, decimals: int) -> str:
    """Return the numbers from `first` to `last`, in units of the last decimal."""
    parts = []
    if first < 0 and first <= last:
        # Minus zero is no negative number.
        parts.append(f'"-" ({_positive(max(1, -last), -first, decimals)})')
    if last >= 0 and first <= last:
        parts.append(_positive(max(0, first), last, decimals))
    return " | ".join(parts)


def _positive(first: int, last: int, decimals: int) -> str:
    if decimals == 0:
        return _whole(first, last)
    unit = 10**decimals
    low, high = first // unit, last // unit
    start, end = f"{first % unit:0{decimals}}", f"{last % unit:0{decimals}}"
    if low == high:
        return f'"{low}" {_fraction(start, end)}'
    top = "9" * decimals
    parts = [f'"{low}" {_fraction(start, top)}', f'"{high}" {_fraction("0" * decimals, end)}']
    if high - low > 1:
        parts.append(f"({_whole(low + 1, high - 1)}) {_fraction('0' * decimals, top)}")
    return " | ".join(parts)


def _whole(first: int, last: int) -> str:
    """Return the integers from `first` to `last`, neither negative."""
    parts = []
    for length in range(len(str(first)), len(str(last)) + 1):
        low = max(first, 10 ** (length - 1) if length > 1 else 0)
        parts.append(_digits(str(low), str(min(last, 10**length - 1))))
    return " | ".join(parts)


def _digits(low: str, high: str) -> str:
    """Return the strings of digits from `low` to `high`, all of their length."""
    if low == high:
        return f'"{low}"'
    rest = len(low) - 1
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return f"{_one(int(low[0]), int(high[0]))}{_any(rest)}"
    if low[0] == high[0]:
        return f'"{low[0]}" ({_digits(low[1:], high[1:])})'
    parts = [
        f'"{low[0]}" ({_digits(low[1:], "9" * rest)})',
        f'"{high[0]}" ({_digits("0" * rest, high[1:])})',
    ]
    if int(high[0]) - int(low[0]) > 1:
        parts.append(f"{_one(int(low[0]) + 1, int(high[0]) - 1)}{_any(rest)}")
    return " | ".join(parts)


def _fraction(low: str, high: str) -> str:
    """Return what may follow an integer: a point and decimals from `low` to `high`, or nothing."""
    some = f'"." ({_tail(low, high)})'
    return f"({some})?" if not low.strip("0") else f"({some})"


def _tail(low: str, high: str) -> str:
    """Return one digit or more, up to the length of the bounds; zeros left out count as zeros."""
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    if first == last:
        return _then(first, low[1:], high[1:])
    parts = []
    if low[1:].strip("0"):
        parts.append(_then(first, low[1:], "9" * rest))
        first += 1
    if high[1:] != "9" * rest:
        parts.append(_then(last, "0" * rest, high[1:]))
        last -= 1
    if first <= last:
        free = f" [0-9]{{0,{rest}}}" if rest else ""
        parts.append(f"{_one(first, last)}{free}")
    return " | ".join(parts)


def _then(digit: int, low: str, high: str) -> str:
    if not low:
        return f'"{digit}"'
    more = f"({_tail(low, high)})"
    return f'"{digit}" {more}' if low.strip("0") else f'"{digit}" {more}?'


def _one(first: int, last: int) -> str:
    return f"[{first}-{last}]" if last > first else f"[{first}]"


def _any(count: int) -> str:
    return "" if count == 0 else " [0-9]" if count == 1 else f" [0-9]{{{count}}}"
