"""Names that identify an object, an observatory or a place on the sky, as data.

One name a line; further names of the same thing follow after ``=``. Left out on purpose: the
Milky Way, Sun, Moon and planets, which a picture can show or which serve as comparisons, and
names of classes (ring galaxy, Seyfert galaxy).
"""

from __future__ import annotations

__all__ = [
    "AFTER_THE",
    "CATALOGUES",
    "CATALOGUES_ANY_CASE",
    "CONSTELLATIONS",
    "COORDINATE_CATALOGUES",
    "GENITIVES",
    "NAMED_BY_NOUN",
    "PROPER_NAMES",
    "TELESCOPES",
    "lines",
]


def lines(table: str) -> list[list[str]]:
    """Split a table into its lines, and each line into the names of one thing."""
    return [[n.strip() for n in line.split(" = ")] for line in table.strip().splitlines()]


#: Prefixes of designations with a number, written in exactly this case.
CATALOGUES = """
IC UGCA LEDA ESO MCG CGCG KUG DDO Arp VV HCG Hickson Mrk Zwicky Barnard LDN LBN Sh2 Gum RCW
Melotte Collinder Trumpler Stock Palomar Terzan HD HDE HIP HR SAO BD TYC GJ Gliese Kepler KIC KOI
TOI TIC WASP HAT-P HATS CoRoT TRAPPIST PKS 3C 4C PSR QSO SN GRB GW IRAS FCC VCC NSA Holmberg
Maffei Dwingeloo Malin Haro Tololo Minkowski Henize Wolf ACO
"""

#: Prefixes that mean a catalogue in whatever case they are written.
CATALOGUES_ANY_CASE = "NGC UGC PGC Messier Caldwell Abell Markarian Sharpless"

#: Catalogues whose designations are coordinates, ``SDSS J123456.78+012345.6``.
COORDINATE_CATALOGUES = """
SDSS 2MASS 2MASX 2MASSX WISE WISEA PSO DES DESI PSR QSO RX XMMU CXO CXOU FIRST NVSS GALEX GAMA
LAMOST HSC ULAS VHS CFHQS
"""

#: Names that identify wherever they stand.
PROPER_NAMES = """
Andromeda = M31 = NGC 224
Pleiades = M45
Hyades
Beehive Cluster = Praesepe = M44
Double Cluster
Jewel Box
Stephan's Quintet = HCG 92
Seyfert's Sextet
Markarian's Chain
Leo Triplet
Hoag's Object
Mayall's Object = Arp 148
Large Magellanic Cloud = LMC
Small Magellanic Cloud = SMC
Magellanic Clouds
Local Group
El Gordo
Pandora's Cluster = Abell 2744
Pillars of Creation
Barnard's Loop
Thor's Helmet = NGC 2359
Hanny's Voorwerp
Hubble Ultra Deep Field
Hubble Deep Field
Sagittarius A*
Barnard's Star
Betelgeuse
Sirius
Rigel
Polaris
Antares
Aldebaran
Arcturus
Fomalhaut
Deneb
Altair
Capella
Procyon
Mizar
Cygnus X-1
Leo I
Leo II
Sextans A
Sextans B
I Zwicky 18
"""

#: Everyday words that identify only with their noun. ``Name | noun = other names``.
NAMED_BY_NOUN = """
Whirlpool | galaxy = M51 = NGC 5194
Sombrero | galaxy = M104 = NGC 4594
Pinwheel | galaxy = M101 = NGC 5457
Southern Pinwheel | galaxy = M83 = NGC 5236
Cartwheel | galaxy
Sunflower | galaxy = M63 = NGC 5055
Black Eye | galaxy = M64 = NGC 4826
Evil Eye | galaxy = M64 = NGC 4826
Bode's | galaxy = M81 = NGC 3031
Cigar | galaxy = M82 = NGC 3034
Silver Coin | galaxy = NGC 253
Silver Dollar | galaxy = NGC 253
Needle | galaxy = NGC 4565
Whale | galaxy = NGC 4631
Hockey Stick | galaxy = NGC 4656
Fireworks | galaxy = NGC 6946
Spindle | galaxy = NGC 5866 = NGC 3115
Splinter | galaxy = NGC 5907
Tadpole | galaxy = Arp 188
Cocoon | galaxy = NGC 4490
Medusa | galaxy = NGC 4194
Porpoise | galaxy = Arp 142
Penguin | galaxy = Arp 142
Condor | galaxy = NGC 6872
Antennae | galaxies = NGC 4038 = Arp 244
Mice | galaxies = NGC 4676 = Arp 242
Butterfly | galaxies = NGC 4567
Siamese Twins | galaxies = NGC 4567
Magellanic | galaxy
Crab | nebula = M1 = NGC 1952
Horsehead | nebula = Barnard 33
Flame | nebula = NGC 2024
Ring | nebula = M57 = NGC 6720
Helix | nebula = NGC 7293
Eagle | nebula = M16 = NGC 6611
Lagoon | nebula = M8 = NGC 6523
Trifid | nebula = M20 = NGC 6514
Omega | nebula = M17 = NGC 6618
Swan | nebula = M17 = NGC 6618
Rosette | nebula = NGC 2237
Dumbbell | nebula = M27 = NGC 6853
Cat's Eye | nebula = NGC 6543
Tarantula | nebula = NGC 2070
Veil | nebula = NGC 6960
Bubble | nebula = NGC 7635
Pelican | nebula = IC 5070
North America | nebula = NGC 7000
California | nebula = NGC 1499
Heart | nebula = IC 1805
Soul | nebula = IC 1848
Owl | nebula = M97 = NGC 3587
Butterfly | nebula = NGC 6302
Hourglass | nebula
Boomerang | nebula
Eskimo | nebula = NGC 2392
Cone | nebula = NGC 2264
Elephant's Trunk | nebula = IC 1396
Witch Head | nebula = IC 2118
Iris | nebula = NGC 7023
Crescent | nebula = NGC 6888
Bullet | cluster
Wild Duck | cluster = M11 = NGC 6705
"""

#: Of those, the words that identify with a capital after "the": "the Sombrero".
AFTER_THE = "Whirlpool Sombrero Pinwheel Cartwheel Antennae Horsehead Tarantula"

#: Telescopes, cameras, surveys and agencies.
TELESCOPES = """
Hubble Space Telescope = Hubble = HST
James Webb Space Telescope = James Webb = Webb = JWST
Very Large Telescope = VLT
Very Large Array = VLA
Atacama Large Millimeter Array = ALMA
Spitzer Space Telescope = Spitzer
Chandra X-ray Observatory = Chandra
XMM-Newton
ROSAT
GALEX
WISE
Herschel Space Observatory
Euclid
Gaia
TESS
Pan-STARRS = PS1
Sloan Digital Sky Survey = Sloan = SDSS
Dark Energy Camera = DECam
Dark Energy Survey
DESI Legacy Imaging Surveys = Legacy Surveys = Legacy Survey = DECaLS
Two Micron All Sky Survey = 2MASS
Digitized Sky Survey = DSS
UK Schmidt Telescope = UK Schmidt
Keck Observatory = Keck telescope = Keck
Gemini North = Gemini Observatory
Gemini South
Subaru Telescope = Subaru
Hyper Suprime-Cam = HSC
Canada-France-Hawaii Telescope = CFHT
Vera C. Rubin Observatory = Rubin Observatory = LSST
Palomar Observatory
Kitt Peak
La Silla
Paranal
European Southern Observatory = ESO
NASA
"""

#: The 88 constellations of the IAU.
CONSTELLATIONS = """
Andromeda
Antlia
Apus
Aquarius
Aquila
Ara
Aries
Auriga
Boötes = Bootes
Caelum
Camelopardalis
Cancer
Canes Venatici
Canis Major
Canis Minor
Capricornus
Carina
Cassiopeia
Centaurus
Cepheus
Cetus
Chamaeleon
Circinus
Columba
Coma Berenices
Corona Australis
Corona Borealis
Corvus
Crater
Crux
Cygnus
Delphinus
Dorado
Draco
Equuleus
Eridanus
Fornax
Gemini
Grus
Hercules
Horologium
Hydra
Hydrus
Indus
Lacerta
Leo Minor
Leo
Lepus
Libra
Lupus
Lynx
Lyra
Mensa
Microscopium
Monoceros
Musca
Norma
Octans
Ophiuchus
Orion
Pavo
Pegasus
Perseus
Phoenix
Pictor
Pisces
Piscis Austrinus
Puppis
Pyxis
Reticulum
Sagitta
Sagittarius
Scorpius
Sculptor
Scutum
Serpens
Sextans
Taurus
Telescopium
Triangulum Australe
Triangulum
Tucana
Ursa Major
Ursa Minor
Vela
Virgo
Volans
Vulpecula
"""

#: Genitives by which stars are named: Eta Carinae, 47 Tucanae.
GENITIVES = """
Andromedae Aquarii Aquilae Arietis Aurigae Boötis Bootis Cancri Canis Capricorni Carinae
Cassiopeiae Centauri Cephei Ceti Corvi Crucis Cygni Delphini Doradus Draconis Eridani Fornacis
Geminorum Gruis Herculis Hydrae Indi Leonis Leporis Librae Lupi Lyncis Lyrae Monocerotis
Ophiuchi Orionis Pavonis Pegasi Persei Phoenicis Pictoris Piscium Puppis Reticuli Sagittarii
Scorpii Sculptoris Serpentis Tauri Trianguli Tucanae Ursae Velorum Virginis Vulpeculae
"""
