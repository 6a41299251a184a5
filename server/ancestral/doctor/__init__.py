"""What is wrong with an installation, and how to mend it: the checks of `ancestral doctor`."""

from ancestral.doctor.examination import examine
from ancestral.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
