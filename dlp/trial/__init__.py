"""Trying signatures: on their own samples, on text and on captured traffic.

    engine   the port: what finds signatures in streams
    kernel   the programs themselves, through BPF_PROG_TEST_RUN; `modelled`: the model of them
    samples  every sample of a pack, whole and cut at every byte
    capture  pcap and pcapng files; `streams`: what was said in them
    profile  what a signature's anchors cost
    report   JSON and JUnit

Nothing here shows a sample's text or a found value: numbers, places and masked text only.
"""
