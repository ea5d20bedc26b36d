"""What every provider of facts must do, whatever its catalogue does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from astrollava.errors import FetchError, FetchTimeout
from astrollava.hooks.checks import find_faults
from astrollava.hooks.kinds import Fact, FactProvider
from astrollava.hooks.testing._needed import needed
from astrollava.hooks.testing.service import FAULTS, Answer, Fault, Request, Service, serving

__all__ = ["FactProviderSuite"]

_SILENT = ("hang", "drip")


class FactProviderSuite:
    """Holds a provider of facts to the contract, against a service on this machine.

    Subclass it as ``TestSomething`` and write `make`, `answer` and `answer_nothing`.

    Attributes
    ----------
    at : (float, float)
        ICRS degrees of a position where `answer` has an object.
    radius : float
        Arcseconds around it.
    patience : float
        Seconds to give the provider for an answer that does not come; more than 0.2, the pause
        between two bytes of a service that drips.
    skip_faults : mapping
        Fault of `FAULTS` that says nothing about this service -> why.
    """

    at: ClassVar[tuple[float, float]] = needed(
        "give a position where `answer` has an object, in degrees: at = (202.47, 47.195)"
    )
    radius: ClassVar[float] = 60.0
    patience: ClassVar[float] = 1.5
    skip_faults: ClassVar[dict[Fault, str]] = {}

    def make(self, base_url: str) -> FactProvider:
        """Return the provider, pointed at a service at this address."""
        raise NotImplementedError("say how to make the provider: def make(self, base_url): ...")

    def answer(self, request: Request) -> Answer:
        """Answer as the catalogue does; a recorded answer will do."""
        raise NotImplementedError("say what the service answers: def answer(self, request): ...")

    def answer_nothing(self, request: Request) -> Answer:
        """Answer as the catalogue does where it has no object."""
        raise NotImplementedError("say what it answers where nothing is: def answer_nothing ...")

    @pytest.fixture
    def service(self) -> Iterator[Service]:
        """Start the service."""
        with serving(self.answer) as service:
            yield service

    @pytest.fixture
    def provider(self, service: Service) -> FactProvider:
        """Make the provider."""
        return self.make(service.url)

    def ask(self, provider: FactProvider, **options: Any) -> tuple[Fact, ...]:
        """Ask what the suite asks for."""
        import astropy.units as u
        from astropy.coordinates import SkyCoord

        position = SkyCoord(*self.at, unit="deg")
        return provider.facts(position, self.radius * u.arcsec, **{"timeout": 30.0, **options})

    def test_it_declares_what_the_contract_asks_for(self, provider: FactProvider) -> None:
        """Without a credit line nobody may use it."""
        assert find_faults("fact_providers", provider) == []

    def test_facts_have_a_source_and_lie_within_the_radius(self, provider: FactProvider) -> None:
        """A fact of another object, or of nobody knows where, is worse than none."""
        facts = self.ask(provider)
        assert facts
        assert isinstance(facts, tuple)
        for fact in facts:
            assert isinstance(fact, Fact)
            if fact.separation is not None:
                assert 0 <= fact.separation.to_value("arcsec") <= self.radius * 1.001

    def test_the_nearest_object_comes_first(self, provider: FactProvider) -> None:
        """Who takes the first fact takes it for the object in the middle."""
        apart = [fact.separation for fact in self.ask(provider) if fact.separation is not None]
        assert [float(angle.value) for angle in apart] == sorted(
            float(angle.to_value(apart[0].unit)) for angle in apart
        )

    def test_where_nothing_is_there_are_no_facts(
        self, provider: FactProvider, service: Service
    ) -> None:
        """Most of the sky is empty: that is no error."""
        service.answer = self.answer_nothing
        assert self.ask(provider) == ()

    @pytest.mark.parametrize(
        "fault", [f for f in FAULTS if f not in ("unavailable once", "redirect")]
    )
    def test_whatever_the_service_does_wrong_is_one_of_our_errors(
        self, provider: FactProvider, service: Service, fault: Fault
    ) -> None:
        """Facts are an addition: what fails there must be told apart from what was seen."""
        if fault in self.skip_faults:
            pytest.skip(self.skip_faults[fault])
        service.fault = fault
        with pytest.raises(FetchError) as caught:
            self.ask(provider, timeout=self.patience if fault in _SILENT else 30.0)
        if fault in _SILENT:
            assert isinstance(caught.value, FetchTimeout)
