"""What is written and read: storage, keys, schemas, graph artifacts, scans.

Layout below an output location::

    canvases/<chunk key>.parquet                    decoded probes, shared by all models
    graphs/<key[:2]>/<key>/nodes-<range>.parquet    unit-norm maps of one probe range
    graphs/<key[:2]>/<key>/edges.parquet            cosines, condensed
    graphs/<key[:2]>/<key>/graph.json               commit marker: written last
    scans/<scan id>/<table>.parquet, scan.yaml      the result tables
    scans/<scan id>/manifest.json                   written last of a scan
    latest.json                                     names the last finished scan
"""
