"""Does astrollava work here, and if not, what to do: the checks behind ``astrollava doctor``.

>>> from astrollava.doctor import examine
>>> for check in examine():                               # doctest: +SKIP
...     print(check.status, check.name, check.detail)
"""

from __future__ import annotations

from astrollava.doctor.check import Check, Status
from astrollava.doctor.examination import examine

__all__ = ["Check", "Status", "examine"]
