"""Small folders of facts for tests to write, break and read: three countries, two tenants."""

from __future__ import annotations

from pathlib import Path

from server.facts import FactsFolders, InvalidFacts, read_facts

RATES_HEADER = "destination,number_class,per_minute,connection_fee,increments,valid_from\n"

CATALOGUE = {
    "NAME": "test\n",
    "countries.csv": "country,name\nIT,Italy\nUS,United States\nVA,Vatican City\n",
    "prefixes.csv": (
        "# where numbers lead\n"
        "prefix,country,number_class,label\n"
        "39,IT,ordinary,Italy\n"
        "3906698,VA,ordinary,Vatican City\n"
        '393,IT,mobile,"Italy, mobile"\n'
        '39800,IT,toll_free,"Italy, toll-free"\n'
        "1206,US,ordinary,United States\n"
        '1800,001,toll_free,"North America, toll-free"\n'
    ),
    "rates/EUR.csv": RATES_HEADER
    + (
        "IT,,0.10,0.00,60/60,2026-01-01\n"
        "US,,0.02,0.00,60/6,2026-01-01\n"
        "VA,,0.30,0.05,60/60,2026-01-01\n"
    ),
    "toll_free_rates/EUR.csv": (
        "country,origin,per_minute,connection_fee,increments,valid_from\n"
        "IT,IT,0.09,0.00,60/60,2026-01-01\n"
    ),
    "toll_rates/EUR.csv": (
        "country,per_minute,connection_fee,increments,valid_from\nIT,0.03,0.00,60/60,2026-01-01\n"
    ),
    "zone_a.csv": "country\nIT\nUS\n",
    "international_plan.csv": "country\nIT\nUS\nVA\n",
    "credits_countries.csv": "country\nIT\nUS\n",
    "emergency_numbers.csv": "country,numbers,dial_masks\nIT,112 118,\nUS,911,9911>911\n",
    "premium_rules.csv": "country,prefix,treatment\nIT,*,credits\n",
    "restrictions.csv": (
        "identity,conference_scope,pstn_scope\nDialoutCPCandPSTNInternational,any,international\n"
    ),
    "plans.csv": (
        "plan,country,domestic_minutes,international_minutes,pooled,pay_as_you_go\n"
        "MCOPSTN1,US,3000,0,yes,no\n"
        "MCOPSTN1,IT,1200,0,yes,no\n"
    ),
    "skus.csv": (
        "sku,capabilities,plan,product\n"
        "MCOEV,phone_system,,Phone System\n"
        "MCOPSTN1,,MCOPSTN1,Domestic plan\n"
        "MCOPSTNPP,credits,,Credits\n"
    ),
    "toll_free_reach.csv": "country,origin\nIT,VA\n",
}

FABRIKAM = """\
id = "fabrikam"
country = "IT"
currency = "EUR"
funding_model = "prepaid"
opening_balance = "0.00"

[users.gina]
usage_location = "IT"
licences = ["MCOEV", "MCOPSTN1"]

[service_numbers."+39800555010"]
service = "bridge"
"""

CONTOSO = """\
id = "contoso"
country = "US"
currency = "EUR"
funding_model = "post_paid"

[users.adele]
usage_location = "US"
licences = ["MCOEV"]
number = "+12065550101"
"""


class FactFiles:
    """The two folders, sound as they are made."""

    def __init__(self, folder: Path) -> None:
        self.folders = FactsFolders(folder / "catalogue", folder / "directory")
        for name, text in CATALOGUE.items():
            self.write(f"catalogue/{name}", text)
        self.write("directory/fabrikam.toml", FABRIKAM)
        self.write("directory/contoso.toml", CONTOSO)

    def path(self, name: str) -> Path:
        return self.folders.catalogue.parent / name

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, "utf-8")

    def append(self, name: str, text: str) -> None:
        self.write(name, self.path(name).read_text("utf-8") + text)

    def change(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text("utf-8")
        assert old in text, f"{name} holds no {old!r} to change"
        self.write(name, text.replace(old, new))

    def mistakes(self) -> list[str]:
        """Read everything and return what is wrong, without the folder's own path."""
        try:
            read_facts(self.folders)
        except InvalidFacts as error:
            root = f"{self.folders.catalogue.parent}/"
            return [line.removeprefix(root) for line in str(error).split("\n")]
        return []
