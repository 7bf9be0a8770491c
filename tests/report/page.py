"""A page of HTML as a test wants it: the start tags, and the rows of the tables of each section."""

from collections import defaultdict
from html.parser import HTMLParser


class Page(HTMLParser):
    """tags: (name, attributes) in order; text: of each section by its id, "" for what is in none; rows: lists of cell texts by section."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.rows = [], defaultdict(list)
        self.text = defaultdict(str)
        self._section = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "section":
            self._section = attributes["id"]
        elif tag == "tr":
            self.rows[self._section].append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")

    def handle_endtag(self, tag):
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        self.text[self._section] += data
        if self.rows[self._section] and self.rows[self._section][-1]:
            self.rows[self._section][-1][-1] += data.strip()

    def of(self, *names: str) -> list[dict]:
        """Attributes of the tags of these names."""
        return [attributes for tag, attributes in self.tags if tag in names]
