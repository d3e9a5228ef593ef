"""Arrays, traces, jaxprs and the tables of rules; everything else is built on these."""

from funcflow.core.trace import Tracer as Tracer
