"""How often a q-gram of folded bytes turns up in traffic: a first-order Markov model.

The table holds the share of each pair of folded bytes (bit 5 set) in a mixture of
45 % documents, 33 % source text, 20 % JSON and 2 % random bytes. It was counted by
tests/signatures/count_bigrams.py on the files of a Debian system and is no more than
those counts. Text and JSON alone (signatures.corpora) tell what a candidate costs there.
"""

from __future__ import annotations

import base64
import enum
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Final

from dlp.signatures import corpora

_SCALE: Final = 8
_VALUES: Final = 128


class Corpus(enum.Enum):
    """What the pairs were counted in."""

    MIXTURE = "mixture"
    TEXT = "text"
    JSON = "json"


def share(sets: Sequence[tuple[int, ...]], corpus: Corpus = Corpus.MIXTURE) -> float:
    """Part of all positions at which bytes of these sets of folded values stand in a row."""
    table, totals = _pairs(corpus)
    if all(len(values) == 1 for values in sets):
        return _row(table, totals, [_index(values[0]) for values in sets])
    weights = {value: totals[_index(value)] for value in sets[0]}
    for _, current in pairwise(sets):
        after = dict.fromkeys(current, 0.0)
        for first, weight in weights.items():
            row = table[_index(first)]
            scaled = weight / totals[_index(first)]
            for second in current:
                after[second] += scaled * row[_index(second)]
        weights = after
    return sum(weights.values())


def _row(
    table: tuple[tuple[float, ...], ...], totals: tuple[float, ...], values: list[int]
) -> float:
    """As `share` of one value at each place, which is what most literals are."""
    weight = totals[values[0]]
    for first, second in pairwise(values):
        weight *= table[first][second] / totals[first]
    return weight


def _index(value: int) -> int:
    """A folded value among the 128 there are."""
    return value >> 6 << 5 | value & 31


@cache
def _pairs(corpus: Corpus) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """Share of each pair by first and second value, and of each first value."""
    packed = {Corpus.MIXTURE: _TABLE, Corpus.TEXT: corpora.TEXT, Corpus.JSON: corpora.JSON}
    raw = zlib.decompress(base64.b85decode(packed[corpus]))
    shares = [2.0 ** (-value / _SCALE) for value in raw]
    whole = sum(shares)
    rows = tuple(
        tuple(value / whole for value in shares[row * _VALUES : (row + 1) * _VALUES])
        for row in range(_VALUES)
    )
    return rows, tuple(map(sum, rows))


_TABLE: Final = (
    b"c-mE4=Xx7QmVK3dgZ;Dn?d;fEk8Rmjjub^o6mtMcfXF#^Mx)U=Rr0%T#RdkJL9hX$s%|*<+|d8g{qJwX{^jR4oj)GJ!;"
    b"6D=2M1RVkB_Z-^Lqa7^ZnxR=RcqQ@$&Z%uby3>{`KOoU!K?hdiIZ3@BX|vZan|`YWNu=_P~fhj0t8BL|+iZuG7~9!JY>"
    b"T2<dN-UCa<*A1m{meVh;@bRd9e<8N084NxKe3}c7^EJhHONfDS)334BSBFnP``P(=x>G#1X@jygBPx$Ic{1rxgBZz%F|"
    b"1S0h<Xht(B<vE~9{&i!AHr|vODDHBwGaOP_0N0lMyJ<XXv<FTnKemYN6ims?~i|cIy?H&uOFYhxjY)5zWZ=?c-0>D%-P"
    b"NLjC}`W-^|ySd!Q@wZLyV+VcFeYx7#=R-KpkuGbBI2{t)A@nRkIo5W!dnrCnOn!E!M&?9>c$qyhT5i9YynH!-a%P@0C}"
    b"jLP|NwT#y_lxA6uba51MQe281uoV#dTflxzv3L{7{|I3RXMaJJLrhHNk3bNmIe`!sbT3?0>=9xJ%OsA=2xLiyK~bb-0L"
    b"?f8K~X|HE&x3N<i}=bVP|6JMnd%T>oAdT3b_c~^4(#s3i@LSmn8^c8b%p4lM<F7$pKp)04E0pf_WBhv#3bJ0>v@RBd{H"
    b"p8Gso8c?QaapI&^ckOCLI*abf(L1GtdQ38>;$ZUb{0^h@Og78z3E;a1q6hU!xW<v$eLWFGBS^Jw&>41D}Xe)1Nn%jI^Z"
    b"0IJ-62)AOauZPO1PgEAOAD(I=7Ho>wNI)Zc$v;t@hls!ZZ4x^tEUHEl9d3KCFrbr;WnLihs}P!KbiJjchv7pJAUt`Hd)"
    b"Q>B-Yy#-yrNDq>?i`q+A&D9|Igo{j)d6*2v_0f`kyjq^2#OoGf&%YF{5S<T#UAvp=)9VPFMG*2{~9dDlE{)ElGA>*c(2"
    b"|8RA`emJ;qKJ|yT+ghURmVKMBD8l_vZbYoey%I<)5Pm0=FWzNxd!3)zo6MWuy?p0>pIkjPpIT#kz47er)#07Cahm-}b3"
    b"7aljE?Kphn=TE(r>g!<LOEdM$L!x3Ga)TYXS-rlO|8dMrlR7Ep*Sf!R+)u)8QKzM5E!mU)<S4{hc<N>xLi1VfK)}9X7*"
    b"<)8^6L<ym)dxt^al9v`mO?bDM+{b@W8E}kxeCxZ7xFA-2#JYOvtI%xt5YA#eZd6^a5@TrP1U>d4n1EmN%-m2A#j5Kjp+"
    b"YA&rL>Y{e6)eic3Wjty%P<FN9Aybe{j^NV9OBILpd*gNCCq>iaS?OtmY1c!5u`wZDWAXK=K3@I2FeoJ`QRt&d1*OojHb"
    b"<Ydo-LvJY;UTiS;m!;AUgOM9)0BId4{ECB>FyoI_t2HPfX)T&%pD!#!JOCY?=cfG7wM+c|+lSY%t@_ny|p^J&z-IBCq6"
    b"b89>YU@^PS%8TnCH`kZ-#%;fKdUJbyuHBxTKh$gW^(5T5c_3Yk2sejFnwiuJTX-WKR2ing9rh_^3h&V4s>pLa9luPb*~"
    b"$5rZx=TY_swRf9f2$07iq0^aQ*mn^QC?{tz9?HukFUwZLiU7Zq}OVfIG1k6lN}L5K4LQR}jy!fCjW@D#A^e#tu<?9p;5"
    b"oXm1PG?Y*(P<N07^t{o>W_4!q%eY*O5eE0OdcHWsD+#J`wY7YnBZd&&}*V=ZI{zSr=FlQvgo>+(oDFA_qkVQd-J_t$&M"
    b"Q7*-z_UWnA1|EK$8U=d$LBY9^?Ku>*6)vC0?omAIv5SNn@zH{w@zdgp>Ns2=F`?q(tg$xW+ttlorpOXtPV;a0g}<5Zvl"
    b"x&EufJ;pP_Sri^53nuLqZnZ{r{5C%1PG7q!}HXR*we(3&k4tKKxsq98GSYK*B9MC<7$bREs_`n75q8D#hoA;LSi@Fkqn"
    b"=f5#gALPylAvuTVfCibBR<HGL8{cQ29`7D%6owu;ePdn>q1~Fzhtp~7Xo>II>sdc>%)w~7a6{J&dwEUymRO5v9q`z${E"
    b"eV3-T@F_R8R!zfH&v|MFM0c?WgHo^Kw}4Ty;9#?x0?u*qfpY*HdlKUg>3)MaT`JJjxt@oi39iiM)6W8WM4^;yYp;SWyC"
    b"uX$)fkt&oqiAnB4+TQ~5IQ7y}Uc-r1|uP3!uXV9a3<)J^ZoM43Q#Y!{AdKz!as2?Ro29qL6f?1r0W;g&%wHOou5DRvLt"
    b"DRsPRT)8oa(nax{PaWyf=Ap3IEGu;@B4TCd+)y1ANJa{albeBedy!OLN~O<B6s65bK@Z06j>4_$vRK{Fdx9V1YOQRks^"
    b"<h>Ihnv$aMu1AOfSgewgZN=!qGun{|81b@$F}bi3WNc5mDrOdPL_(0abob$wpuI?N(Uh+GQce!0~^>93O!Y74T%F$Hl~"
    b"lfWW$%tR9+DEO2BXu2j4=)>jHBonq_KN}5$#`u2Qn+zv|{$M;D%;|C&a94(A7%S#F^fwMPC8g7lUC0-uD<B<8aU(@}m_"
    b"mr)0<og#?6`nwf^f?dC~=QFjKrByw-elSA2#*gaMT!F4|~17?v*igr}Krb4GIbcu~%AAf<O+k+z!$_%_evtJc^><PWD8"
    b"+;v1kpV=jBfMJ44z6=u;#15YW*!$Hv*ruA+k=ro&D1D)Q})y#{^6uUEhrD>~@CJaUFmn;RKPS6Kskm6{9G*r31BHx_;N"
    b"y@<>H^GweU}-9ZMM)yz@t@l#5GSD%Prg9lrr)%=X<4S{N6{&4HUZS1=IvR3uv!iLaMWuW-SzBgw3sZMEVjB%vBXFv8ar"
    b"|!=m(O1V9RieWNrW}`(v9u!4ATum!Q#GoEB*U0evv8fQoEPse2hDagus0|0(m$HuPa(hj|7mH7=qxgp&6t7?7bAOA60)"
    b"ohZ2BKZzjzNLnds^)hDvX=Ixa#M$#a-M|bA2<_=k3J=bXFNSlY)>+MtdW*qnvHW`4n7f-KDl&|^0^<b7K!SQn1QLg(?*"
    b"qk(1>~a&2-q$@!M{+FZe}aLU*z+6ww^DdZJtL#4AJ7%Ad9!5YsXfw-2$-L&bI;dOw->cSqL}lJkI$!<&hQ65>gQkD*6~"
    b"#0SZ+Xh-ChU4#8-?j=H_Z(~G3hu1~e;a<kb++aPSu{_J#s-ss;q+MVI>DYS;o`uJ(qdbl4B2DP=PEsbo(70IYCv+9c6O"
    b"7h3IW;4uzP;ALku?a~5Oj92f7+I-j(GLYc@Cf!WNff8+5>Tp0$so(^XvP8k5*7uOX^L^=7Ru+iLR0Sb66#Qe3Q%PQGV~"
    b"&$9p(nq@y`k?^8lE}iyG=r+M1=UU3atDc-}1A6bZQM_nPf-zq1%F-O1p7UXMHV_C(V{-?xMNcnd{lhb8(!>HfR$PtlGj"
    b"OvVx|6b4i6ynxpU&GhGkMh)KA9!9f=r~0BZSuR$yg_e8)^ZU0iUf*24>b&orJbV80`0enQ-<};D-d-Jb?VgRk?l?E8ET"
    b"96zzgajo+`Oo44oUbSf+AxY{hAO!Fq^i9>2PrRFsrwR^VN!yj+t+!6QqA`-ZkHJ+S<YQ<(ux{pl5wOslPL{yRYNWck#W"
    b"bJP;WG@xL1*zmP_(T7h%9Hgicrs$#)cbdf_CPI}iDgQwc{)p&G2ovtRU*{U<1OpIdn;`+z!^Um=3r{3E?ulxVJT6{YD^"
    b">c67yE8Vf1J1An{EF|(;ESseyo~{K18P5|qJ>z}Z@Twiwx=`d_}#19AMWYJ(d}$7oXo~8eQMkcy0z1A^x@(0%l|f;_kY"
    b"eNr}ftR_UiQb>|4Fpx;M=E1b$M~2UZ1;D$^1PC>kU=HE>c?PAF_&GSL58|F(ts?C$X7qxJdl!|}Y?oQ{`6eX=~fxxD%0"
    b"J-$4C{;&7HA3lD+=)8LM&-3@+{^!|m51)R#I35iK&GI8wiF|b^$p(Nj{HFkvNR@{`6)B`8{s|u$+)kcam$1>e)F-3abg"
    b"oY({nctY|FT8;!LWUQaJaO7Tl=5-k1x8`!PVgxYwlie-L-*hOrDZUK*fD9Hwq5GR1T{gU{xQ2B2|ad{OIM^#gB|48_i|"
    b"!!rIN{ZD6f~IEunNY8w5)V>&+_H+p~d9zMU@dM9_EPcPSpA8x)6b*nSg=F{>A3+4=K8My`ubwn9P#u+UFY&(GL#U!CJw"
    b"uATi0fJ>bX?L!Q#?#~2op)PZdrT>De>odI6|?87>F6gzGhc=Jd87aS-urO>>bs_UZ9DYV=&nL`S@4jhAYo>_m}2?`tnd"
    b"I5qR6Un+*5SPihe7tGYBTFhX-%AT*awgYzxzxrJpkW{oCg+-@Sgd?2PaKeDmMGeja}M*R$T|<=N^uHFZj#Iguoi;mg=B"
    b"%Po+H<}#$Dm0+M?aF-b{^ISoLftFvcqhcG_ASvQJO<8HAD9RF`sHSV$vA13Kw}!LQYYW5t>^590cbuY3(MHC&U5-Jd?}"
    b"@;~FxM~f4ig}*;E@CJF}S9PUuwPUPW;erjC|cqvVd}(T$|5ryPTg+I^Fl9_TYzW_r}fUXfr(Pw&s0*Wrv|j(?^6Q@~DK"
    b"H??F^rI52y0#u!MUq7xDY0Lh15mS64w4Er~C7vaT^^D}=`A81>eSjWwIt9_G?e!Z!G`Q`L#^z&8!kACaLk@@)k-Rtx2?"
    b"DJSRmgpsv>Q*_uEJcti;3Lgt;>3mY07;IxdC>Jgl-Kl9I_Y=nW&Qr@#4~hf?rTwKv<AcIzFhuse0%nPqk;aeH~##-_wK"
    b"dXJ#Kz)&$N~vZZ&jH11rxfv1CC+7@;gMu=QQ5U`xqeN|XR9X?&J^$q)$dZZE$_XXoD@H{Dr_k`0<%+;$$Gj?&KWcQ1bZ"
    b"_3Q8T53Q4v+UXz1#@(;aKAue{-$t`p7ayxoM})V_bs>WQ8R>`Xw2)3A(gKlw5n-h-${UJ5>9p6sE9;F$5BP3Wpu7m-WI"
    b"prO<^1Byo9B0b9gaUY&fh-&--ExlKfQhR;>*W&f8?0~x{{hlGU^Ml6IJnKTUq9SvI@M%I|Md!kAUCu%N!za(0sV3eD}U"
    b"T8;=|(*c4m;ZZg~)XV&lIhnwHqjW1ue4{uK%-W<&TJb3+axa@wOT80jf#j-?{G&m39<#1UGV$Kj|fWTexXP2<^IIKaPU"
    b"5H{cL}qM)O&ny@Unz3rVOCJGGjq&M+wn3z*{lrHbC>!`KeS!n4{|D~{$8NnIW{LEP$qz&3OZ5)L=_0w=l-?*PVv#cyF5"
    b"Q}FRs4dt%pl{8%9M^+;?wVXHol)hfiPsarwFTn|*Tl;r;V-<Nd3bAHUt|A9Zcq2A_EHQ<eN=d7&yvuq$ID1%e$Q5%>lB"
    b"ruG4;Tz>Ljn^fBmS3eHTuixGu81=z4@SPwo4(b>0r(W}O@7>+ccaQJ>*nIi(^7i%1(aA4Af4Dy!9Nl(?ZAu?h0ZibjEd"
    b"LOq!~k(8$l1bB!VV*=0*XrJCO=tk(;{<g-@hHtkB+{c3|jqel=RB!_S@}E>oRCRfBJa*(?#bW&sOb&gR9>^E`NLd_Cxp"
    b"R=*4W>@04$#<a-==c_6|-#64B#?)xnKqEZ#)P?f7OVH}q&2832H@2|~q-&hW`u^-!Dl_jxO7|8$j>FDUy`KfiNk6(X!("
    b"f;DSeECA38IRg5jT78NDy<?S;IIl45v6{i1>lA>p(2VUGrSVEfq4Jv7I&GLHrwe6>b22gdei83=1Z@$okxy$58T(<VDL"
    b"wOWPI|vt?T*eG@J~&^RY8>)=oEtHHqX%)!U%-MxtJkA|X}TgD*}hmPr5N2k0OQ0PFE`luWyiYj3hyg<%OnXs_+CK-&+?"
    b"@#sX?5C8HO!^O?<$UnW&dh0uVXw%dP-B;3-si)L3lYxK(5&-co55|zE<&d*4*8YK~Wu5+3YUBHHaQk%I`rd4`8qKD2Yi"
    b"P@{5kTj5aXvopZj3w6nO!Xx-^0bxM|~BwM|QLs!?ViH5fBh3HDA?X@TP!*BUQe!OA!(JtGJ~0;*6h~m*siwrt7bDKTQf"
    b"yL{Ee6q@PV|!^Zew*!Jp<cU`+WeiI*mznqwL%b2Zg4W47wV^T?lY<{R7AjS)jAx_Dl!dwxqM5vyl34{Q7nQJ3=VQ$>Oi"
    b"1HH9gbNfg4e-JJdS!gun9Ha2rr$S*tI(O7W?&er1>COD4Z(Yz9l009!}+-h#XokfRM`osaG3pn<y=1HMKs>}ul#{E&3e"
    b"O$u?*cfNNi~2xTuZi{l;|c+9OTZR{hxoEPFHCT*rA<x4$|Xk`+}MbN48Ktbpv;fk@BMu1?Pg!&TYM6SvUp)&<S_`d904"
    b"n<r&Sk3TMrZIpTDV!pI>Gtko9u$yKlUXGTNr9CP9#?v|+Gb17xRw<vTEQ>HmO&)@(ASEiEGFRY>Gll%fSI`5cc6sy8e6"
    b"t-`Qj+u|qnkyV_$ydu1q4MwF_iWFQUv3YCdo8uYtH&0Myli}9;|jkgra2;29?tIFsvGJ1W5<LAV4uaElMJPN*74oRcE+"
    b"dEi`Srp_v=a%*w4}ZvYKMrSCgwnU@H8CGe=pV0TlrQc^Xah%_=p(9Q~Y*N3D1t_p!=i;9b@hq?*<GG{nlARB5)uXA@g7"
    b"-`8Sivu5mGCewdd31FA<LYo#J2^V~@_Byz^5f;nO?|c4hMV%UtmvpLOt8AD;6hZ;Cz2$isv#?EhRSn+N|bt5o<mHTitC"
    b"2~<sYmkkNuFqvOAwFjLF&>W|=Y9#xuAawM~5<xJ)Pn>Wh_T>AJ}uhN<h6F0WRGF&~@8a;cjT)jYG!D%zoCdN{OH4ldm_"
    b"L#%`gJ(Q~ksuUoVsl`=Va&w{bhA|51J5dfqMU`8yLD$nv!!j&W*XTdp)Gd>~Fbs?S)N}|u$LMxCok3_@9t;gppF^rA<z"
    b"tP>#iw*bm56qcTIEX&Au7?a=mF(63AE@+Y)L8s`oc0Tx&@u?hY5o|Y>c)Wqtoei`_bC*acs&u3}=X}O^;T*NRIf71ovA"
    b"JM_2@@(kk9KVaE+PcSltsP3)O%)3X|M3-murx9H-!W>A%A?4JR!A6Rt#UO!$t0rCwf=nBB9Xk)NtJyHU`BKKf!EpV61@"
    b"Ensh^b7hr2UT~4ZpJd`gQ<Y7#STp6Z_|C)mSNhaW7-f#8@t`^^#-A7Zh&v|B0S+mLH5-EFW71U&J~TpDvKon5>j9%2Qq"
    b"+(tpg~c4Z;S~JzHI8iqLGP2c7Gm?u70Lqs`W!=GPs>wzY+UC5}WOR=Mhusnn<W2~St6%$To4WY@0ZmC`PNz!EAVx}0rN"
    b"(X;iaB<Qb9|4a#Vb*dPQytT<XI{nzSeH595>;*zr7BU!cZ*dMW-fNS}V1;lB1%)lRS>)0~fNU^ec6{b(D{ZAwf3q}gX)"
    b"t$OuDAuPFx+@l{~fwM<@IQ5h=2tc`{HPYbf!lS7gb$^o4A^fQGEk`S|puLpgfNwE7LM;YIW4>sS1S5g)X=}bn35bgP%V"
    b"%j1BU2D2}HZMkBmnNAc*%IOZ@o<MnS?Sw5zw$x0X?E2-^)xZo^LCcHWqzOFL>aBS12j%V98yJk@<G%5Z>TeD38i2A?jq"
    b"1aaCRSC@{Ua&P2SnSG%%mav20TzT=+9X7K(+&KR;n;@BU61{<>5|m&nf+7qw;Z}Y4qPh#ZimX>4$8>p^ju&E^Q;mt*;h"
    b"sxT^|U}0wsbI*(XJ!We8!&ou()mzgJ~dX8&|$%b`nB30Mqx*ei<}p>5IRYU>(pZhzGO%g|CY8bD1;7`*?)VOE4Ef~q!|"
    b"B$Kk51XUG_ciQ=o7qx$Jbm|3$WjkzboBp5|*q$s4(}b3;Pvsw&rdMXBEKp&Q6H&1**b;PoMTwwb2~g@nv{R`Ckg{YGH}"
    b"w4UC!-cT2GGUW`V?=Nv`yyt4*O@ibR&*!0g69HyUpy+u{^-=7w(OW&@Wywg#^t10WT$}202k(l&Zd?3jDHpz{CNl(b;T"
    b"yi}^lX-C8r<bDh}K8mRyK4F5U|f7gDQ*opxoUbjO9(%6>;lpm^|q-bJSgh60G=N6Fl*+h34h!hVRIuE-%0C7!l^rfIcS"
    b"6|atG{SAnE(-t&T_0^NIs2k!R0?)}j3R|UM9vZH6^Z4EMRF&*yhx7wA=_eJXWD#m9)yGiu+vlVQ~TeB%>H}*&@?vCH!I"
    b")aHBgx1IopSax&8?UHp!sG4p{p`@FiG6O23$+0-8)BUd<-DkTX3o^?T-b%oCVWm;usX5Dt8c>YvKrvOS8ws2Z5yHckDH"
    b"feghzplWnT%?(!FoT_sIc*GK@Ad*OGbPipS{@{Xlm@F*EahN=qMF6~}@s~PaKcV=G6I}*%#+n(aDX`AWo5mkl_3R`O*v"
    b"qDnOs`W2#IjK3kBnpRl}&SPvlBB2ax7=f?2zh#kge-<+P&@|aj5<y8vh}Y0iAtE0SxxVJ}x0QGKsAc0-z$-kkfU*(@H)"
    b"&q00P2M=}p)^$dL(^qL$683{5OO}0DK|9X*WcrY*^QaHj{p71}!`Clb?SPd`idI?bGl~A_WIU|JFk?3RbpL9ifd}@8n9"
    b"H<0rn;vb;`A;vlZJ$JXH3EY~y#TJ*`2xznkV;Kd6SEK|&b%&W4(Am){XOB9B0UkyMLGAOayQv87PEZavUR#Gg2TYz@@M"
    b"!9BD<m!s$8VA*B)yEioqGl4&^*cRZ^Ayh~eMDd?Yuu1o>bpFgX9?+>>vLU8CV9r1EFyPuz7_hNc|+R7pU_*Jt<(*qKt*"
    b"K4D*<3%PTbWCTo>FJZ}u5$8gL=#2C*4oG9ZrO{`NzGN(%zNWwF2nHeL|CIm6RR1V6a#5v%GCdCni@%ujpR$_O5EK;f%!"
    b"zt^!Bth1tm_HWb;^$~oWRg2?_kz%D8|jUqcb?>8^9!_{EG&lLF8CI4m3erB!gh-@sgb-pl||JaafIqsX8`KsxT{|a_^{"
    b"0Ys@XFkR8T)C<$VmldHpIT#)}~QE?|B<)3tYrhk~2qANzKDLKOGpOpWW?6jp!)MWt$!D^6*&sacQ<+VhVaxl-jgz{Mi!"
    b"k$>@XQE%xXG-p4&t&{>kh<%D_%=ej`5dkXor!^-A6H#No*k(o8fRq%dmAQzB`HZ-@EVfnGAW`>_00ut@;r#q4@QKk{?U"
    b"4)cNzZ-EOSHiKPaqARU<>JF)0L?6-jxMTaHFaU5Kug8r$Nq2P#*<EdOI_rwI>3AGQ@vySeb`Rh@qM*0H*b|4{vJap<U8"
    b"O;rV4@F6u(pCP!aB&tLi2>BDJB)>OmK(Ej<^H5LYEvLK+3oK4W8ULg4x6S$YX6?h!Dp56m&eo^+PsIAd*9G~5WUo+<Ku"
    b"Di+LZcpk7eJ`yOdw?bN7Y^z)Ysr)m@!ZRh=vYHw6(ge4&|S&OV4jA_Y>B~s2m_r%!NUsW_DFOeV+nU6BJdk2g$0l8vQ4"
    b"7>^&<H8F53SQYBET4XM^ELRHE5-$pa|u%a4TRk<MAb(Cd&iF0AZ3))psmUUIxQ({;1G%o;=IUKI~eu~TR;VAl-)vz?Fh"
    b"UTE`TgxgfRJJB3i_u<doxVEE66E^pcsAISIfbY^&OwJNKis&nPcaMbR;{MQD`qWb$EtE5R^#*-!(CUE+aua5@<{26BG#"
    b"<8)HZQsZ5E;HQN?H5cpdqxbr5=MBT6@-ioicA2ZdPWfe7|Vkh)QW?5ae2EgC@;RYOG#_3uV2`TvQXB|#VkX`TdW8l{ox"
    b"`$3czgUN6(9*zdA0w|~M_vU_;b*V}ZAgW=#FB+MD?F>iG4DnZg^JECO8MZcCjA6IC%~rF?xPFfne7YTawT;wpq#VA(%A"
    b"TuHVUhBvTS$m#C%|fkmO!O%k+C5)KqX2uop!6$X?448z9M_3i+0*<A9VdrN0BMDcBNi9ok*0Ki;N43aeCR!6uG#X>Vmt"
    b"`dbwGu)^49ddxxKwuE>aHhj}{%yk5Uge@X=caYu+6dr-kg&MvFD5V9L(7x^C9%R{6QC@skM*qYrgJAa$Aj3HgKPvy^MN"
    b"a<5&=jo#1qUNru83ZJY!Bwe2hG4SSMN_lee259`b@?!2rKNt4(u@9}+v^Pm{lR=T8TSXnE>HSrM6FWtdbF@BfGZM+s`e"
    b"?~mG7abcM%0YYG82h?gk|9XW>`*$#_u2>n$b!>tN$qsp|z>52IZy5$>jX<5km2=K0b~i1J20R4H@<u}BtCMVvV|Vpzw>"
    b"AFIE(lzTANYdACz+UD9Z*Y3u$*MzH=PsG7$CIE=3g}pR$udbm0OEy)ARQLW&S2b0JvAs4}t#!rHZ`-ChHcfsgB`{V7F9"
    b"usGjHt0h>1Vq^6nTq?>LFCr2v@hz2wPCaP+5YK2@uV$eK*)_;vlqLCvn`=i#EO!y6)O_DB;=xZ*}91q;6Q|_3}VuPut?"
    b"t1n(1X!a;K{KM@oN1u0DOJjpW}ZrC#j(j-ZWBuSGr4Z~m$z({4Z|9+2zzyY!wk5zRL{O|V<?FPG{LTd<U#G!IG^cm%^I"
    b"lFJ<Z}B~z4astg-0FS+F{G&Oe3J50DK1jua0u<1$O_|$ny!(XBfB9-golIKxIZ5+Mk}W*$|BmPQ4+;r7N&7R&)*QOXs8"
    b"B`t3HS*q*jTxx;Fx;X>Po?AJx`VHYca6I7v#2EH6v8G@#E#i3+F!C7(ycqEIAALWTc(Q%n0(fpSPejtR-3PO`gaLkwE&"
    b"-Eb%U1j5~j|8C||&e%(BLs`8Mwk&Hfaw@c%AKvG>66Cq15`wB5XNW4(Al2~Pn`=S1;yM+;DX?P@0z~4VxQ*hGWY6&T=("
    b"!rM6tStg%|T923M_+F<5k%b;agKP_|jigWpRgMs>Ua$lZliusyerjRINm)8r(#kUY<cjRy6{-e|wqaojmLbNdVQBR0cp"
    b"4v6OxX<xHF!l_hw0F9WFBXL6~kD$G|Ps4@bTumN@3kwkYQ*)7}!J|Y8$qOI!Y4K+N5l{AQ|c~q%`9JZ6*3emo>A)j+(u"
    b"fWdM<;}5h*Zm{vnq)UX-X2vYIjkI{icnS9Q|JMS!Y^J2h3Xz7Wrm=dc2^LN)JOp5(Gbczu@ucCa1RTJ>VZI2FI8P!(Pt"
    b"HGfd4^BGgJtGC{v)l6hee>sMr(1;(l02AguhO8b?-rx7~H9<U{0$=Z?1vD<Hd@%Ag>|P~HImMdU^*c&d`~j?}}7#8+Xr"
    b"DnE&tC0SunAL1h&MD=CV1Rat0oI*|rpvss~b@LbZU0G4DCKY6pUK)=~It0~4cyErE?A=c$2WYTL5i!}_Xje^BskXNq1t"
    b")uCf{6rHC1s%a6H+~Df~uQWNCmHO7i(C6hALN)xj%&JnAHuZNagSnPlzNdRTUGeX$b)39qCm&THHHUrHj?PW`!tZ=kG|"
    b"|zq=E&ngfM<_kW0Psw$SEz1srdE|W&GmM3jb-pWgMbIM|#3-3`>IX@$$T!k(otgX^Hfq(!-WMssEs_!m4Z4muG<mU<T"
)
