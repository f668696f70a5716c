from __future__ import annotations
class Summaries:
    def __init__(self,*a): pass
    def summarize(self, params): return {}
