"""Take Spotify CSVs into bronze.tracks and silver.tracks.

SPARK_CONF_DIR=conf spark-submit jobs/ingest_tracks.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("ingest_tracks")

if __name__ == "__main__":
    main()
