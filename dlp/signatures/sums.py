"""Checksums of identifiers that are weighted sums: data, which the kernel reads too.

Each entry names the rule's source. Behind a word that stands in the expression, `nif` in
`nif: 123456789` for instance, the word's letters get weight 0: `behind(3, …)`.
"""

# ruff: noqa: PLR2004 - the numbers are those of the rules

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from dlp.signatures.weighted import ANY, NEVER, Weighted


def remainder(weights: Sequence[int], modulus: int, right: Collection[int] = (0,)) -> Weighted:
    """The sum, check digit included, leaves one of the remainders."""
    return Weighted(
        weights=tuple(weight % modulus for weight in weights),
        modulus=modulus,
        check=0,
        expected=tuple(ANY if value in right else NEVER for value in range(modulus)),
    )


def told(weights: Sequence[int], modulus: int, expected: Sequence[int], check: int) -> Weighted:
    """The remainder of the sum tells the number at `check`."""
    return Weighted(
        weights=tuple(weight % modulus for weight in weights),
        modulus=modulus,
        check=check,
        expected=tuple(expected),
    )


def luhn(length: int, *, right: int = 0) -> Weighted:
    """ISO/IEC 7812-1 annex B over a fixed number of digits; the sum ends in `right`."""
    return Weighted(
        weights=tuple(2 if (length - place) % 2 == 0 else 1 for place in range(length)),
        modulus=10,
        check=0,
        expected=tuple(ANY if value == right else NEVER for value in range(10)),
        digits=True,
    )


def behind(letters: int, total: Weighted) -> Weighted:
    """The sum of a number that so many letters stand before, and do not count."""
    check = total.check + letters if _tells(total) else 0
    return replace(total, weights=(0,) * letters + total.weights, check=check)


def _tells(total: Weighted) -> bool:
    return any(value not in (ANY, NEVER) for value in total.expected)


def prefix(
    length: int,
    weights: Sequence[int],
    right: Collection[int],
    tells: Mapping[int, int] | None = None,
    check: int = 0,
) -> Weighted:
    """The first digits of `length` leave mod 100 one of the remainders; some tell one more digit.

    So a range of prefixes is one sum. The weights are chosen so that of the prefixes the
    expression lets through only the right ones have these remainders; a test tries them all.
    """
    expected = {**dict.fromkeys(right, ANY), **(tells or {})}
    return told(
        (*weights, *(0,) * (length - len(weights))),
        100,
        [expected.get(value, NEVER) for value in range(100)],
        check,
    )


_PLAIN: Final = tuple(range(10))
_LETTERS: Final = {character: int(character, 36) for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_LETTERS[one] if one in _LETTERS else int(one) for one in text)


# 11 less the remainder; what would be 10 and 11 is 0 (Receita Federal, AT of Portugal, …).
_LESS_OR_ZERO: Final = tuple(0 if value < 2 else 11 - value for value in range(11))
# 11 less the remainder; 11 is 0, and no number has 10 (NHS, Organisasjonsnummer, …).
_LESS_OR_NEVER: Final = (0, NEVER, *(11 - value for value in range(2, 11)))
# The last digit of 11 less the remainder.
_LESS_LAST: Final = tuple((11 - value) % 11 % 10 if value else 1 for value in range(11))
_LESS_TEN: Final = tuple((10 - value) % 10 for value in range(10))

# Payment cards: the ranges of issuers' prefixes as the schemes publish them (ISO/IEC 7812).
_MASTERCARD: Final = prefix(16, (5, 12, 1), range(36, 96), {96: 0}, 3)  # 51-55, 222-2720
_DISCOVER: Final = prefix(16, (0, 10, 1), range(44, 60), {1: 1}, 3)  # 6011, 644-649, 65
_JCB: Final = prefix(16, (0, 0, 10, 1), range(28, 90))  # 3528-3589
_DINERS: Final = prefix(14, (0, 10, 1), {*range(6), *range(60, 70), *range(80, 100)})
# 508, 6069, 607, 608, 652, 653, 817-820
_RUPAY: Final = prefix(16, (20, 74, 1), {8, 27, 28, 41, 42, 43, 92, 93}, {26: 9}, 3)
_VERVE: Final = prefix(16, (0, 0, 10, 1), {60, 61, 78, 79})  # 5060, 5061, 5078, 5079

# Routing numbers: ABA key to routing numbers, check digit by weights 3, 7, 1.
_US_ABA: Final = (
    remainder((3, 7, 1) * 3, 10),
    prefix(9, (10, 1), {*range(13), *range(21, 33), *range(61, 73), 80}),
)
# National Provider Identifier: 45 CFR 162.406, Luhn with 80840 before it, whose sum is 24.
_NPI: Final = luhn(10, right=6)
# DEA number: DEA Diversion Control, 1st + 3rd + 5th and twice 2nd + 4th + 6th digit.
_DEA: Final = told((0, 0, 1, 2, 1, 2, 1, 2, 0), 10, _PLAIN, 8)
# NHS number and Scotland's CHI number: NHS Data Dictionary, modulus 11.
_NHS: Final = told((10, 9, 8, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_OR_NEVER, 9)
# Unique taxpayer reference: HMRC, modulus 11, check digit in front.
_UK_UTR: Final = told(
    (0, 6, 7, 8, 9, 10, 5, 4, 3, 2), 11, (2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1), 0
)  # fmt: skip
# PPS number: Social Welfare Consolidation Act 2005 s. 262, modulus 23 as a letter, W for 0.
_PPS_LETTERS: Final = (32, *range(10, 32))
_IE_PPS: Final = told((8, 7, 6, 5, 4, 3, 2, 0), 23, _PPS_LETTERS, 7)
# The second letter counts nine times its place in the alphabet, W as 0; A is 10 here.
_IE_PPS_9: Final = told(
    (8, 7, 6, 5, 4, 3, 2, 0, 9), 23, [_PPS_LETTERS[(value - 81) % 23] for value in range(23)], 7
)
# Identity card and passport numbers of Germany: ICAO 9303 part 3, weights 7, 3, 1.
_ICAO: Final = told((7, 3, 1, 7, 3, 1, 7, 3, 1, 0), 10, _PLAIN, 9)
# Burgerservicenummer: Regeling burgerservicenummer, the eleven test.
_NL_BSN: Final = remainder((9, 8, 7, 6, 5, 4, 3, 2, 10), 11)
# Belgian national number: royal decree of 3 April 1984, 97 less the remainder; who is born
# from 2000 on has a 2 before it.
_BE_NN: Final = remainder(
    (*(10**power for power in range(8, -1, -1)), 10, 1), 97, {0, -2 * 10**9 % 97}
)
# PESEL, NIP, REGON: ordinances of the Ministers of Interior, Finance and the GUS.
_PL_PESEL: Final = remainder((1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)
_PL_NIP: Final = told((6, 5, 7, 2, 3, 4, 5, 6, 7, 0), 11, (*_PLAIN, NEVER), 9)
_PL_REGON: Final = told((8, 9, 2, 3, 4, 5, 6, 7, 0), 11, (*_PLAIN, 0), 8)
# Polish identity card: ordinance on identity cards 2015, weights 7, 3, 1, digit 4 the check.
_PL_DOWOD: Final = told((7, 3, 1, 0, 7, 3, 1, 7, 3), 10, _PLAIN, 3)
# Portuguese NIF and NISS: Decreto-Lei 14/2013; Segurança Social, weights are primes.
_PT_NIF: Final = told((9, 8, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_OR_ZERO, 8)
_PT_NISS: Final = told(
    (29, 23, 19, 17, 13, 11, 7, 5, 3, 2, 0), 10, tuple(9 - value for value in range(10)), 10
)
# Personnummer of twelve digits: SFS 1991:481, Luhn over the last ten.
_SE_PNR_12: Final = behind(2, luhn(10))
# CVR number: Erhvervsstyrelsen, modulus 11.
_DK_CVR: Final = remainder((2, 7, 6, 5, 4, 3, 2, 1), 11)
# Personal identity code: decree 128/2010, nine digits mod 31 as a letter or digit.
_FI_HETU: Final = told(
    (*(10**power for power in range(8, -1, -1)), 0),
    31,
    _numbers("0123456789ABCDEFHJKLMNPRSTUVWXY"),
    9,
)
_FI_HETU_11: Final = told(
    (*_FI_HETU.weights[:6], 0, *_FI_HETU.weights[6:]), 31, _FI_HETU.expected, 10
)
# Business id: decree 288/2001.
_FI_YTUNNUS: Final = remainder((7, 9, 10, 5, 8, 4, 2, 1), 11)
# Fødselsnummer: folkeregisterforskriften § 2-2-1, two modulus 11 digits.
_NO_FNR: Final = (
    remainder((3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0), 11),
    remainder((5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1), 11),
)
# Organisation and account number: Brønnøysundregistrene; Bits' standard for account numbers.
_NO_ORGNR: Final = remainder((3, 2, 7, 6, 5, 4, 3, 2, 1), 11)
_NO_KONTO: Final = _NO_FNR[1]
# AHV number: AHVV art. 133, check digit as EAN-13.
_CH_AHV: Final = remainder((1, 3) * 6 + (1,), 10)
# UID: UIDG and eCH-0097, modulus 11, behind CHE.
_CH_UID: Final = behind(3, remainder((5, 4, 3, 2, 7, 6, 5, 4, 1), 11))
# Austrian social insurance number: ASVG § 31, modulus 11, the fourth digit the check.
_AT_SVNR: Final = told((3, 7, 9, 0, 5, 8, 4, 2, 1, 6), 11, (*_PLAIN, NEVER), 3)
# AFM: Greek Ministry of Finance, powers of two mod 11.
_GR_AFM: Final = told((256, 128, 64, 32, 16, 8, 4, 2, 0), 11, (*_PLAIN, 0), 8)
# Rodné číslo of ten digits: zákon 133/2000 § 13, mod 11, ten as 0; IČO: Czech statistical office.
_CZ_RC: Final = told((1, 10) * 4 + (1, 0), 11, (*_PLAIN, 0), 9)
_CZ_ICO: Final = told((8, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_LAST, 7)
# Resident registration number until October 2020: Korean MOIS, modulus 11.
_KR_RRN: Final = told((2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 0), 11, _LESS_LAST, 12)
# NRIC (S, T) and FIN (F, G): Immigration & Checkpoints Authority, modulus 11; T and G add 4.
_SG_NRIC: Final = told(
    (4, 2, 7, 6, 5, 4, 3, 2, 0), 11, [_numbers("JZIHGFEDCBA")[(v - 2) % 11] for v in range(11)], 8
)
_SG_FIN: Final = told(
    (4, 2, 7, 6, 5, 4, 3, 2, 0), 11, [_numbers("XWUTRQPNMLK")[(v - 5) % 11] for v in range(11)], 8
)
# Australian numbers: ATO (tax file number, ABN less 1 in front), ASIC (ACN), Medicare.
_AU_TFN: Final = remainder((1, 4, 3, 7, 5, 8, 6, 9, 10), 11)
_AU_ABN: Final = remainder((10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19), 89, {10})
_AU_ACN: Final = remainder((8, 7, 6, 5, 4, 3, 2, 1, 1), 10)
_AU_MEDICARE: Final = told((1, 3, 7, 9, 1, 3, 7, 9, 0, 0), 10, _PLAIN, 8)
# CPF, CNPJ, PIS: Receita Federal and Caixa; CNS: Ministério da Saúde, DATASUS.
_BR_CPF: Final = (
    told((10, 9, 8, 7, 6, 5, 4, 3, 2, 0, 0), 11, _LESS_OR_ZERO, 9),
    told((11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_OR_ZERO, 10),
)
_BR_CNPJ: Final = (
    told((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 0, 0), 11, _LESS_OR_ZERO, 12),
    told((6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_OR_ZERO, 13),
)
_BR_PIS: Final = told((3, 2, 9, 8, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_OR_ZERO, 10)
_BR_CNS: Final = remainder(range(15, 0, -1), 11)
# CLABE: Banco de México, weights 3, 7, 1.
_MX_CLABE: Final = remainder((3, 7, 1) * 5 + (3, 7, 1), 10)
# T.C. kimlik no: Nüfus Hizmetleri, the tenth and the eleventh digit.
_TR_TCKN: Final = (
    told((7, 9, 7, 9, 7, 9, 7, 9, 7, 0, 0), 10, _PLAIN, 9),
    told((1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0), 10, _PLAIN, 10),
)
# My number and corporate number: ordinances of MIC and of the National Tax Agency of Japan.
_JP_MYNUMBER: Final = told((6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 0), 11, _LESS_OR_ZERO, 11)
_JP_CORPORATE: Final = told(
    (0, *(2, 1) * 6), 9, tuple(9 - value for value in range(9)), 0
)  # fmt: skip
# Chinese resident identity number: GB 11643-1999, ISO 7064 MOD 11-2.
_CN_ID: Final = told(
    (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 0), 11, _numbers("10X98765432"), 17
)
# UEN: Singapore's ACRA; businesses have eight digits, local companies nine, and a letter.
_SG_BUSINESS: Final = told((10, 4, 9, 3, 8, 2, 7, 1, 0), 11, _numbers("XMKECAWLJDB"), 8)
_SG_COMPANY: Final = told((10, 8, 6, 4, 9, 7, 5, 3, 1, 0), 11, _numbers("ZKCMDNERGWH"), 9)
# CNP: Romanian Direcția pentru Evidența Persoanelor; EGN: Bulgarian GRAO; both mod 11.
_RO_CNP: Final = told((2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9, 0), 11, (*_PLAIN, 1), 12)
_BG_EGN: Final = told((2, 4, 8, 5, 10, 9, 7, 3, 6, 0), 11, (*_PLAIN, 0), 9)
# CUIT and CUIL: AFIP, modulus 11.
_AR_CUIT: Final = told(
    (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 0), 11, (0, 9, *(11 - value for value in range(2, 11))), 10
)
# National id of Thailand: DOPA, modulus 11.
_TH_ID: Final = told(
    (13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0), 11, [(11 - v) % 10 for v in range(11)], 12
)

_ALONE: Final[dict[str, tuple[Weighted, ...]]] = {
    "mastercard": (luhn(16), _MASTERCARD),
    "discover": (luhn(16), _DISCOVER),
    "jcb": (luhn(16), _JCB),
    "diners": (luhn(14), _DINERS),
    "rupay": (luhn(16), _RUPAY),
    "verve": (luhn(16), _VERVE),
    "us_aba": _US_ABA,
    "npi": (_NPI,),
    "ie_pps": (_IE_PPS,),
    "nl_bsn": (_NL_BSN,),
    "be_nn": (_BE_NN,),
    "pl_pesel": (_PL_PESEL,),
    "se_pnr_12": (_SE_PNR_12,),
    "fi_hetu": (_FI_HETU,),
    "no_fnr": _NO_FNR,
    "ch_ahv": (_CH_AHV,),
    "ch_uid": (_CH_UID,),
    "cz_rc": (_CZ_RC,),
    "kr_rrn": (_KR_RRN,),
    "sg_nric": (_SG_NRIC,),
    "sg_fin": (_SG_FIN,),
    "br_cpf": _BR_CPF,
    "br_cnpj": _BR_CNPJ,
    "tr_tckn": _TR_TCKN,
    "cn_id": (_CN_ID,),
}
# Behind a word of so many letters.
_WORDED: Final[dict[str, tuple[int, tuple[Weighted, ...]]]] = {
    "uatp": (4, (luhn(15),)),
    "uzcard": (6, (luhn(16),)),
    "humo": (4, (luhn(16),)),
    "imei": (4, (luhn(15),)),
    "npi": (3, (_NPI,)),
    "dea": (3, (_DEA,)),
    "uk_utr": (3, (_UK_UTR,)),
    "uk_chi": (3, (_NHS,)),
    "ie_pps_9": (4, (_IE_PPS_9,)),
    "de_ausweis": (15, (_ICAO,)),
    "de_pass": (9, (_ICAO,)),
    "nl_bsn": (20, (_NL_BSN,)),
    "pl_nip": (3, (_PL_NIP,)),
    "pl_regon": (5, (_PL_REGON,)),
    "pl_dowod": (5, (_PL_DOWOD,)),
    "pt_nif": (3, (_PT_NIF,)),
    "pt_niss": (4, (_PT_NISS,)),
    "it_iva": (10, (luhn(11),)),
    "se_orgnr": (5, (luhn(10),)),
    "dk_cvr": (3, (_DK_CVR,)),
    "fi_hetu": (4, (_FI_HETU_11,)),
    "fi_ytunnus": (7, (_FI_YTUNNUS,)),
    "no_orgnr": (5, (_NO_ORGNR,)),
    "no_konto": (11, (_NO_KONTO,)),
    "at_svnr": (4, (_AT_SVNR,)),
    "gr_amka": (4, (luhn(11),)),
    "gr_afm": (3, (_GR_AFM,)),
    "cz_ico": (3, (_CZ_ICO,)),
    "au_tfn": (3, (_AU_TFN,)),
    "au_abn": (3, (_AU_ABN,)),
    "au_acn": (3, (_AU_ACN,)),
    "au_medicare": (8, (_AU_MEDICARE,)),
    "br_cpf": (3, _BR_CPF),
    "br_cnpj": (4, _BR_CNPJ),
    "br_pis": (3, (_BR_PIS,)),
    "br_cns": (3, (_BR_CNS,)),
    "mx_clabe": (5, (_MX_CLABE,)),
    "mx_nss": (3, (luhn(11),)),
    "il_id": (11, (luhn(9),)),
    "in_epic": (7, (luhn(7),)),
    "jp_mynumber": (8, (_JP_MYNUMBER,)),
    "jp_corporate": (15, (_JP_CORPORATE,)),
    "fr_siret": (5, (luhn(14),)),
    "fr_siren": (5, (luhn(9),)),
    "ca_bn": (14, (luhn(9),)),
    "za_tax": (9, (luhn(10),)),
    "sg_business": (3, (_SG_BUSINESS,)),
    "sg_company": (3, (_SG_COMPANY,)),
    "kr_rrn": (4, (_KR_RRN,)),
    "tr_tckn": (4, _TR_TCKN),
    "ro_cnp": (3, (_RO_CNP,)),
    "bg_egn": (3, (_BG_EGN,)),
    "ar_cuit": (4, (_AR_CUIT,)),
    "th_id": (14, (_TH_ID,)),
}

# By validator; a name ends in `_word` where the number stands behind its word.
SUMS: Final = MappingProxyType[str, tuple[Weighted, ...]](
    _ALONE
    | {
        f"{name}_word": tuple(behind(letters, one) for one in totals)
        for name, (letters, totals) in _WORDED.items()
    }
)
