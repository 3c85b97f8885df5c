#pragma once

// All samples of one moment: what the cells are gathered into and what the exposition formats are
// rendered from. Made and dropped by the scraping thread (the back thread); cold path.
//
//   Scrape scrape;
//   metrics.gather(scrape, now);          // adds, sorts, merges
//   std::string body = render(scrape, Exposition::prometheus);

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/metric_cells.h"
#include "telemetry/families.h"

namespace outrigger::telemetry {

// A histogram's buckets added up; values are microseconds.
struct HistogramValue {
  std::array<std::uint64_t, Histogram::bucket_count> buckets{};
  std::uint64_t sum = 0;

  void add(const Histogram& cells);
  void add(const HistogramValue& other);
  // What came since `earlier`; zero where the cells started anew.
  void subtract(const HistogramValue& earlier);
  std::uint64_t count() const;
  // How many values were at most `bound`. A bound inside a bucket takes its share of it, so the
  // result is off by less than that bucket; it never falls over time, nor with a smaller bound.
  std::uint64_t at_most(std::uint64_t bound) const;
  // The value below which the share `q` of all values lies; 0 when there are none.
  double quantile(double q) const;
};

struct Sample {
  Family family{};
  std::span<const std::string_view> labels;  // values, in the order of the family's names
  double value = 0;                          // counters and gauges
  HistogramValue* histogram = nullptr;       // histograms
  std::uint8_t rank = 0;
};

// Which samples are left out when there are too many: higher ranks first, and never those of rank 0,
// which are about the whole process.
std::uint8_t rank_of(const FamilyInfo& family);

class Scrape {
 public:
  Scrape() : arena_(blocks_) {}
  Scrape(const Scrape&) = delete;
  Scrape& operator=(const Scrape&) = delete;

  using Labels = std::initializer_list<std::string_view>;
  // Values given twice with the same labels add up: that is how workers are summed. The text is
  // copied. REQUIRES: the family's type, as many labels as it has names.
  void counter(Family family, Labels labels, double value);
  void gauge(Family family, Labels labels, double value);
  void histogram(Family family, Labels labels, const Histogram& cells);

  // What is added while this is set has had its room from the SeriesBudget, and is always there.
  void set_admitted(bool admitted) { admitted_ = admitted; }

  // Sorts by family and labels, merges what has the same ones, and leaves out samples beyond
  // `lines_max` lines of the exposition: first those of endpoints, then those of services and
  // listeners, never those of the process. After the last addition. Returns the lines left out.
  std::uint64_t finish(std::uint64_t lines_max = ~0ULL);
  // Lines of the exposition, after finish().
  std::uint64_t lines() const { return lines_; }
  std::span<const Sample> samples() const { return samples_; }
  std::span<Sample> samples() { return samples_; }

 private:
  Sample& add(Family family, MetricType type, Labels labels);
  void merge();

  BlockPool blocks_;
  Arena arena_;
  std::vector<Sample> samples_;
  std::uint64_t lines_ = 0;
  bool admitted_ = false;
};

}  // namespace outrigger::telemetry
