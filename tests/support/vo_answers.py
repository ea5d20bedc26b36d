"""Answers in the shapes recorded from Virtual Observatory services: VOTables and their content."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

__all__ = [
    "Field",
    "datalink",
    "ned_error",
    "ned_objects",
    "ned_redshifts",
    "obscore",
    "soda",
    "votable",
]

#: Name, datatype, arraysize, unit, UCD; what is not given stays out.
Field = tuple[str, ...]


def votable(
    fields: Sequence[Field],
    rows: Sequence[Sequence[object]],
    *,
    status: str = "OK",
    message: str = "",
    resources: str = "",
    version: str = "1.3",
) -> bytes:
    """A VOTable with one table, as TAP, SIA2 and DataLink services send it."""
    info = f'<INFO name="QUERY_STATUS" value="{status}">{escape(message)}</INFO>'
    table = "" if status == "ERROR" else _table(fields, rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3" version="{version}">\n'
        f'<RESOURCE type="results">\n{info}\n{table}\n</RESOURCE>\n{resources}\n</VOTABLE>\n'
    ).encode()


def _table(fields: Sequence[Field], rows: Sequence[Sequence[object]]) -> str:
    head = "\n".join(_field(*field) for field in fields)
    body = "\n".join(
        "<TR>" + "".join(f"<TD>{'' if v is None else escape(str(v))}</TD>" for v in row) + "</TR>"
        for row in rows
    )
    return f"<TABLE>\n{head}\n<DATA><TABLEDATA>\n{body}\n</TABLEDATA></DATA>\n</TABLE>"


def _field(name: str, datatype: str, arraysize: str = "", unit: str = "", ucd: str = "") -> str:
    keys = {
        "ID": name.replace(" ", "_"),
        "name": name,
        "datatype": datatype,
        "arraysize": arraysize,
        "unit": unit,
        "ucd": ucd,
    }
    said = " ".join(f"{key}={quoteattr(value)}" for key, value in keys.items() if value)
    return f"<FIELD {said}/>"


def soda(
    service: str,
    access_url: str,
    identifier: str = "",
    *,
    column: str = "",
    standard: str = "sync-1.0",
) -> str:
    """The descriptor of a SODA service: of one data set, as CADC's, or of those in a column."""
    which = f"value={quoteattr(identifier)}" if identifier else f'ref={quoteattr(column)} value=""'
    return (
        f'<RESOURCE ID="{service}" type="meta" utype="adhoc:service">\n'
        '<PARAM name="resourceIdentifier" datatype="char" arraysize="*"'
        ' value="ivo://cadc.nrc.ca/caom2ops"/>\n'
        '<PARAM name="standardID" datatype="char" arraysize="*"'
        f' value="ivo://ivoa.net/std/SODA#{standard}"/>\n'
        '<PARAM name="accessURL" datatype="char" arraysize="*"'
        f" value={quoteattr(access_url)}/>\n"
        '<GROUP name="inputParams">\n'
        '<PARAM name="ID" datatype="char" arraysize="*" ucd="meta.id;meta.dataset"'
        f" {which}/>\n"
        '<PARAM name="CIRCLE" datatype="double" arraysize="3" unit="deg" xtype="circle"'
        ' ucd="obs.field" value=""/>\n'
        "</GROUP>\n</RESOURCE>\n"
    )


_LINKS: list[Field] = [
    ("ID", "char", "*", "", "meta.id;meta.main"),
    ("access_url", "char", "*", "", "meta.ref.url"),
    ("service_def", "char", "*", "", "meta.ref"),
    ("error_message", "char", "*", "", "meta.code.error"),
    ("semantics", "char", "*", "", "meta.code"),
    ("content_type", "char", "*", "", "meta.code.mime"),
    ("content_length", "long", "", "byte", "phys.size;meta.file"),
]


def datalink(
    links: Sequence[tuple[str, str, str | None]], *, product: str, cutouts: bool = True
) -> bytes:
    """What a DataLink service says of data sets: (identifier, stored file, where to cut) each."""
    rows: list[Sequence[object]] = []
    services = ""
    for number, (identifier, file, access_url) in enumerate(links):
        rows.append(
            (identifier, f"{product}/{file}", None, None, "#this", "application/fits", 10**10)
        )
        rows.append(
            (identifier, f"{product}/{number}.jpg", None, None, "#preview", "image/jpeg", 9)
        )
        if cutouts and access_url is not None:
            rows.append((identifier, None, f"soda-{number}", None, "#cutout", None, None))
            rows.append((identifier, None, f"async-{number}", None, "#cutout", None, None))
            services += soda(f"soda-{number}", access_url, file)
            later = access_url.replace("/sync", "/async")
            services += soda(f"async-{number}", later, file, standard="async-1.0")
    return votable(_LINKS, rows, resources=services)


_OBSCORE: list[Field] = [
    ("dataproduct_type", "char", "*", "", "meta.id"),
    ("calib_level", "int", "", "", "meta.code;obs.calib"),
    ("obs_collection", "char", "*", "", "meta.id"),
    ("obs_publisher_did", "char", "*", "", "meta.ref.url;meta.curation"),
    ("access_url", "char", "*", "", "meta.ref.url"),
    ("access_format", "char", "*", "", "meta.code.mime"),
    ("access_estsize", "long", "", "kbyte", "phys.size;meta.file"),
    ("s_ra", "double", "", "deg", "pos.eq.ra"),
    ("s_dec", "double", "", "deg", "pos.eq.dec"),
    ("s_fov", "double", "", "deg", "phys.angSize;instr.fov"),
    ("s_pixel_scale", "double", "", "arcsec", "phys.angSize;instr.pixel"),
    ("em_min", "double", "", "m", "em.wl;stat.min"),
    ("em_max", "double", "", "m", "em.wl;stat.max"),
    ("target_name", "char", "*", "", "meta.id;src"),
    ("facility_name", "char", "*", "", "meta.id;instr.tel"),
    ("instrument_name", "char", "*", "", "meta.id;instr"),
]


def obscore(rows: Sequence[dict[str, object]], *, resources: str = "", status: str = "OK") -> bytes:
    """What an SIA2 service says of images: columns of ObsCore that matter here."""
    names = [field[0] for field in _OBSCORE]
    return votable(
        _OBSCORE, [[row.get(n) for n in names] for row in rows], resources=resources, status=status
    )


_NED: list[Field] = [
    ("No.", "int", "", "", "meta.number"),
    ("Object Name", "char", "30", "", "meta.id;meta.main"),
    ("RA", "double", "", "degrees", "pos.eq.ra;meta.main"),
    ("DEC", "double", "", "degrees", "pos.eq.dec;meta.main"),
    ("Type", "char", "*", "", "src.class"),
    ("Velocity", "double", "", "km/sec", "src.veloc.hc"),
    ("Redshift", "double", "", "", "src.redshift"),
    ("Redshift Flag", "char", "*", "", "meta.code;src.redshift"),
    ("Magnitude and Filter", "char", "*", "", "meta.code;src.magnitude"),
    ("Separation", "double", "", "arcmin", "pos.distance"),
    ("References", "int", "", "", "meta.bib;meta.number"),
]


def ned_objects(
    rows: Sequence[tuple[str, float, float, str, float | None, str, float | None]],
) -> bytes:
    """NED's table of objects near a position: name, RA, Dec, type, z, flag, separation [arcmin]."""
    full = [
        (n, name, ra, dec, kind, None if z is None else z * 299792.458, z, flag, "", apart, 3)
        for n, (name, ra, dec, kind, z, flag, apart) in enumerate(rows, start=1)
    ]
    return _of_ned(_NED, full)


def ned_redshifts(rows: Sequence[tuple[float, str]]) -> bytes:
    """NED's table of published redshifts of an object: value and reference code."""
    fields: list[Field] = [
        ("No.", "int", "", "", "meta.number"),
        ("Frequency Targeted", "char", "*", "", "em.freq"),
        ("Published Velocity", "int", "", "km/sec", "src.spect.dopplerVeloc"),
        ("Published Redshift", "double", "", "", "src.redshift.phot"),
        ("Refcode", "char", "*", "", "meta.bib.bibcode"),
    ]
    full = [
        (n, "Optical", round(z * 299792.458), z, code) for n, (z, code) in enumerate(rows, start=1)
    ]
    return _of_ned(fields, full)


def _of_ned(fields: Sequence[Field], rows: Sequence[Sequence[object]]) -> bytes:
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.1">\n'
        '<DEFINITIONS>\n<COOSYS ID="J2000" equinox="2000." epoch="2000." system="eq_FK5" />\n'
        '</DEFINITIONS>\n<RESOURCE type="results">\n<INFO name="QUERY_STATUS" value="OK"/>\n'
        '<PARAM name="queryDateTime" ucd="time.creation" datatype="char" arraysize="*"'
        f' value="2026-07-18T04:16:22PDT"/>\n{_table(fields, rows)}\n</RESOURCE>\n</VOTABLE>\n'
    ).encode()


def ned_error(message: str) -> bytes:
    """NED's answer where it found nothing or failed: status 200, no table, a word."""
    return (
        '<?xml version="1.0"?>\n<VOTABLE version="1.1">\n<RESOURCE type="results">\n'
        '<INFO name="QUERY_STATUS" value="OK"/>\n'
        '<PARAM name="queryDateTime" ucd="time.creation" datatype="char" arraysize="*"'
        ' value="2026-07-18T05:08:36PDT"/>\n'
        f'<PARAM name="Error" value={quoteattr(message)}/>\n</RESOURCE>\n</VOTABLE>\n'
    ).encode()
