"""What is written and read: storage, keys, schemas, graph artifacts, scans.

Layout below an output location::

    canvases/<chunk key>.parquet                    decoded probes, shared by all models
    canvases/sets/<probe set key>.json              probes of a set; where their canvases are
    graphs/<key[:2]>/<key>/nodes-<range>.parquet    unit-norm maps of one probe range
    graphs/<key[:2]>/<key>/edges.parquet            cosines, condensed
    graphs/<key[:2]>/<key>/{grams,features}.parquet inner products and sums of the features
    graphs/<key[:2]>/<key>/graph.json               commit marker: written last
    known/models/<fingerprint>.json                 what opening an unchanged model would tell
    known/probes/<fingerprint>.json                 what decoding unchanged probes would tell
    running/<scan id>/{owner,plan}.json             a scan under way: sign of life, its graphs
    scans/<scan id>/<table>.parquet, scan.yaml      the result tables
    scans/<scan id>/cards.json                      its models' cards by fingerprint
    scans/<scan id>/manifest.json                   written last of a scan
    latest.json                                     names the last finished scan
"""
