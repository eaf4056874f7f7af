"""The test project's application."""

from offload.serving import Application

application = Application()
