"""What python-stdnum says of each identifier: the independent oracle of the validators.

A shape gives the kinds of its characters: `#` a digit, `@` a letter, `*` either, others
stand for themselves. The last characters are tried in all their values, so that right and
wrong check digits are met; `places` names others where the check stands elsewhere.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stdnum import imei, luhn, verhoeff
from stdnum.ar import cuit
from stdnum.at import vnr
from stdnum.au import abn, acn, tfn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cnpj, cpf
from stdnum.ca import bn
from stdnum.ch import ssn as ahv
from stdnum.ch import uid
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import dic, rc
from stdnum.dk import cvr
from stdnum.ee import ik
from stdnum.es import cif
from stdnum.fi import hetu, ytunnus
from stdnum.fr import nif, siren, siret
from stdnum.gb import nhs, utr
from stdnum.gr import amka
from stdnum.gr import vat as afm
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.il import idnr as teudat
from stdnum.in_ import epic, gstin
from stdnum.it import codicefiscale, iva
from stdnum.jp import cn, in_
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer, kontonr, orgnr
from stdnum.nz import ird
from stdnum.pl import nip, pesel, regon
from stdnum.pt import cc
from stdnum.pt import nif as pt_nif
from stdnum.ro import cnp
from stdnum.se import orgnr as se_orgnr
from stdnum.se import personnummer
from stdnum.sg import uen
from stdnum.th import pin
from stdnum.tr import tckimlik, vkn
from stdnum.us import rtn
from stdnum.za import tin as za_tin

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_KINDS = {"#": DIGITS, "@": LETTERS, "*": DIGITS + LETTERS}


@dataclass(frozen=True)
class Oracle:
    """A validator's oracle. `strict` ones ask for more than the checksum: dates, prefixes."""

    validator: str
    shape: str
    valid: Callable[[str], bool]
    strict: bool = False
    word: str = ""
    places: tuple[int, ...] = (-1,)
    kinds: str = "#"

    def values(self, count: int) -> Iterator[str]:
        """Numbers without their word: random ones, each with every value at `places`."""
        rng = random.Random(self.validator)
        for _ in range(count):
            made = [rng.choice(_KINDS.get(one, one)) for one in self.shape]
            for values in itertools.product(*(_KINDS[one] for one in self._varied())):
                for place, value in zip(self.places, values, strict=True):
                    made[place] = value
                yield "".join(made)

    def _varied(self) -> str:
        return self.kinds * len(self.places) if len(self.kinds) == 1 else self.kinds


def _sums(module: object) -> Callable[[str], bool]:
    """Of a module that checks dates too, its checksum alone."""
    return lambda text: module.calc_check_digit(text[:-1]) == text[-1]  # type: ignore[attr-defined]


def _dashed(text: str) -> bool:
    """A Finnish code whose hyphen the sum does not see."""
    return bool(hetu.is_valid(f"{text[:6]}-{text[6:]}"))


ORACLES = (
    Oracle("us_aba", "0########", rtn.is_valid),
    Oracle("ie_pps", "#######@", pps.is_valid, kinds="@"),
    Oracle("ie_pps_9_word", "#######@A", pps.is_valid, word="ppsn", places=(-2,), kinds="@"),
    Oracle("nl_bsn", "#########", bsn.is_valid, strict=True),
    Oracle("nl_bsn_word", "#########", bsn.is_valid, strict=True, word="burgerservicenummer:x"),
    Oracle("be_nn", "8####1####0", nn.is_valid, strict=True, places=(-1, -2)),
    Oracle("pl_pesel", "###########", _sums(pesel)),
    Oracle("pl_nip_word", "##########", nip.is_valid, word="nip"),
    Oracle("pl_regon_word", "#########", regon.is_valid, word="regon"),
    Oracle("pt_nif_word", "2########", pt_nif.is_valid, word="nif"),
    Oracle("it_iva_word", "#######010#", iva.is_valid, strict=True, word="partita iva"),
    Oracle("se_pnr_12", "1980010#####", personnummer.is_valid, strict=True),
    Oracle("se_orgnr_word", "55########", se_orgnr.is_valid, word="orgnr"),
    Oracle("dk_cvr_word", "2#######", cvr.is_valid, word="cvr"),
    Oracle("fi_hetu", "0101#####*", _dashed, strict=True, kinds="*"),
    Oracle("fi_ytunnus_word", "########", ytunnus.is_valid, word="y-tunnus"),
    Oracle("no_fnr", "0101#######", fodselsnummer.is_valid, strict=True, places=(-1, -2)),
    Oracle("no_orgnr_word", "#########", orgnr.is_valid, word="orgnr"),
    Oracle("no_konto_word", "###########", kontonr.is_valid, word="kontonummer"),
    Oracle("ch_ahv", "756##########", ahv.is_valid),
    Oracle("ch_uid", "CHE#########", uid.is_valid),
    Oracle("at_svnr_word", "1###010180", vnr.is_valid, strict=True, word="svnr", places=(3,)),
    Oracle("gr_amka_word", "0101#######", amka.is_valid, strict=True, word="amka"),
    Oracle("gr_afm_word", "#########", afm.is_valid, word="afm"),
    Oracle("cz_rc", "9001######", rc.is_valid, strict=True),
    Oracle("cz_ico_word", "########", dic.is_valid, strict=True, word="ico"),
    Oracle("kr_rrn", "8001011######", rrn.is_valid, strict=True),
    Oracle("au_tfn_word", "#########", tfn.is_valid, word="tfn"),
    Oracle("au_abn_word", "###########", abn.is_valid, strict=True, word="abn", places=(-1, -2)),
    Oracle("au_acn_word", "#########", acn.is_valid, word="acn"),
    Oracle("br_cpf", "###########", cpf.is_valid, strict=True, places=(-1, -2)),
    Oracle("br_cnpj", "##############", cnpj.is_valid, places=(-1, -2)),
    Oracle("il_id_word", "#########", teudat.is_valid, strict=True, word="teudat zehut"),
    Oracle("in_epic_word", "@@@#######", epic.is_valid, word="epic"),
    Oracle("jp_mynumber_word", "############", in_.is_valid, word="my number"),
    Oracle("jp_corporate_word", "#############", cn.is_valid, word="corporate number", places=(0,)),
    Oracle("fr_siret_word", "##############", siret.is_valid, strict=True, word="siret"),
    Oracle("fr_siren_word", "#########", siren.is_valid, word="siren"),
    Oracle("tr_tckn", "1##########", tckimlik.is_valid, places=(-1, -2)),
    Oracle("cn_id", "1101051980010#####", ric.is_valid, strict=True, kinds="*"),
    Oracle("ro_cnp_word", "180010112345#", cnp.is_valid, strict=True, word="cnp"),
    Oracle("bg_egn_word", "8001######", egn.is_valid, strict=True, word="egn"),
    Oracle("ar_cuit_word", "20#########", cuit.is_valid, word="cuit"),
    Oracle("sg_business_word", "########@", uen.is_valid, word="uen", kinds="@"),
    Oracle("sg_company_word", "1980#####@", uen.is_valid, word="uen", kinds="@"),
    Oracle("ca_bn_word", "#########", bn.is_valid, word="business number"),
    Oracle("za_tax_word", "1#########", za_tin.is_valid, word="tax number"),
    Oracle("imei_word", "###############", imei.is_valid, word="imei"),
    Oracle("fi_hetu_word", "010100A###*", hetu.is_valid, strict=True, word="hetu", kinds="*"),
    Oracle("tr_tckn_word", "1##########", tckimlik.is_valid, word="tckn", places=(-1, -2)),
    Oracle("br_cpf_word", "###########", cpf.is_valid, strict=True, word="cpf", places=(-1, -2)),
    Oracle("br_cnpj_word", "##############", cnpj.is_valid, word="cnpj", places=(-1, -2)),
    Oracle("kr_rrn_word", "8001011######", rrn.is_valid, strict=True, word="krrn"),
    Oracle("th_id_word", "1############", pin.is_valid, word="thai national id"),
    Oracle("uk_utr_word", "##########", utr.is_valid, word="utr", places=(0,)),
    Oracle("uk_chi_word", "##########", nhs.is_valid, word="chi"),
    Oracle("verhoeff", "############", verhoeff.is_valid),
    Oracle("luhn", "################", luhn.is_valid),
    Oracle("mod_11_10", "###########", oib.is_valid, strict=True),
    Oracle("es_cif", "B########", cif.is_valid),
    Oracle("es_cif", "Q#######@", cif.is_valid, strict=True, kinds="@"),
    Oracle("it_codice_fiscale", "RSSMRA80A01H501@", codicefiscale.is_valid, kinds="@"),
    Oracle("it_codice_fiscale", "@@@@@@80A01H###@", codicefiscale.is_valid, True, kinds="@"),
    Oracle("fr_spi", "0#########00#", nif.is_valid, strict=True, places=(-1, -2, -3)),
    Oracle("pt_cc", "#########**#", cc.is_valid),
    Oracle("in_gstin", "27ABCPE1234F1Z*", gstin.is_valid, kinds="*"),
    Oracle("in_gstin", "##@@@P@####@1Z*", gstin.is_valid, strict=True, kinds="*"),
    Oracle("nz_ird", "9#######", ird.is_valid, strict=True),
    Oracle("nz_ird", "1########", ird.is_valid, strict=True),
    Oracle("mx_curp", "@@@@800101HDF@@@0#", curp.is_valid, strict=True),
    Oracle("tr_vkn", "##########", vkn.is_valid),
    Oracle("cl_rut", "########*", rut.is_valid, kinds="*"),
    Oracle("baltic", "3800101####", ik.is_valid, strict=True),
)
