import CommandLineKit

/// What the output of measurements holds. Fields are only ever added; the rest is a new version.
extension OutputSchema {
    static let bench = OutputSchema(
        "ego.bench/1", records: ["results"],
        [
            OutputField(
                "results",
                .list(
                    .object([
                        OutputField("name", .text), OutputField("clients", .count),
                        OutputField("durability", .optional(.choice(["memory", "durable single", "durable grouped"]))),
                        OutputField("unit", .text, "what is counted"), OutputField("operations", .optional(.count)),
                        OutputField("seconds", .optional(.real)), OutputField("per_second", .optional(.real)),
                        OutputField("p50_us", .optional(.real)), OutputField("p99_us", .optional(.real)),
                        OutputField("p99_9_us", .optional(.real)),
                        OutputField("latency_of", .text, "what the latencies are of"),
                        OutputField("limit_name", .text, "what the bare library did"),
                        OutputField("limit_per_second", .optional(.real)),
                        OutputField("ratio", .optional(.real), "of per_second to limit_per_second"),
                        OutputField("peak_rss_bytes", .optional(.count)),
                        OutputField("bytes_each", .optional(.count), "of memory, for each entity that is in it"),
                        OutputField("previous_ratio", .optional(.real), isOccasional: true, "with compare"),
                        OutputField(
                            "change_percent", .optional(.real), isOccasional: true, "of the ratio, with compare"),
                    ]))),
            OutputField("store", .object([OutputField("kind", .text), OutputField("location", .text)])),
            OutputField(
                "parameters",
                .object([
                    OutputField("entities", .count), OutputField("clients", .list(.count)),
                    OutputField("events", .count), OutputField("payload_bytes", .count), OutputField("choice", .text),
                    OutputField("journal", .count), OutputField("seconds", .optional(.real)),
                    OutputField("operations", .optional(.count)), OutputField("repeats", .count),
                    OutputField("warm_up_seconds", .real), OutputField("seed", .identifier),
                ])),
            OutputField("dry_run", .bool),
            OutputField(
                "others_share", .optional(.real), isOccasional: true,
                "of the processors' time, 0 to 1, by other processes"),
            OutputField(
                "stolen_share", .optional(.real), isOccasional: true,
                "of the processors' time, 0 to 1, by other machines"),
        ])
}
