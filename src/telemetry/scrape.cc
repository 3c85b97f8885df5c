#include "telemetry/scrape.h"

#include <algorithm>
#include <new>

#include "base/check.h"

namespace outrigger::telemetry {
namespace {

// The smallest value of a bucket.
std::uint64_t lower_bound_of(int index) {
  return index == 0 ? 0 : Histogram::upper_bound(index - 1);
}

bool same_series(const Sample& a, const Sample& b) {
  return a.family == b.family && std::ranges::equal(a.labels, b.labels);
}

// Lines of the exposition: a histogram has its bounds, +Inf, sum and count.
std::uint64_t lines_of(const Sample& sample) {
  return sample.histogram != nullptr ? exported_bounds().size() + 3 : 1;
}

constexpr std::uint8_t rank_max = 2;

}  // namespace

std::uint8_t rank_of(const FamilyInfo& family) {
  const auto has = [&family](std::string_view label) {
    return std::ranges::count(family.labels(), label) > 0;
  };
  if (has("endpoint")) return rank_max;
  return has("service") || has("listener") ? 1 : 0;
}

void HistogramValue::add(const Histogram& cells) {
  for (int i = 0; i < Histogram::bucket_count; ++i) {
    buckets[static_cast<std::size_t>(i)] += cells.bucket(i);
  }
  sum += cells.sum();
}

void HistogramValue::add(const HistogramValue& other) {
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
  sum += other.sum;
}

void HistogramValue::subtract(const HistogramValue& earlier) {
  if (count() < earlier.count()) return;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    buckets[i] -= std::min(buckets[i], earlier.buckets[i]);
  }
  sum -= std::min(sum, earlier.sum);
}

std::uint64_t HistogramValue::count() const {
  std::uint64_t total = 0;
  for (const std::uint64_t n : buckets) total += n;
  return total;
}

std::uint64_t HistogramValue::at_most(std::uint64_t bound) const {
  std::uint64_t total = 0;
  for (int i = 0; i < Histogram::bucket_count; ++i) {
    const std::uint64_t low = lower_bound_of(i);
    if (low > bound) break;
    const std::uint64_t width = Histogram::upper_bound(i) - low;
    const std::uint64_t inside = std::min(bound + 1 - low, width);
    const std::uint64_t n = buckets[static_cast<std::size_t>(i)];
    total += inside == width ? n : n / width * inside + n % width * inside / width;
  }
  return total;
}

double HistogramValue::quantile(double q) const {
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const double rank = q * static_cast<double>(total);
  double below = 0;
  for (int i = 0; i < Histogram::bucket_count; ++i) {
    const auto n = static_cast<double>(buckets[static_cast<std::size_t>(i)]);
    if (n > 0 && below + n >= rank) {
      const auto low = static_cast<double>(lower_bound_of(i));
      const double width = static_cast<double>(Histogram::upper_bound(i)) - low;
      return low + width * std::max(0.0, rank - below) / n;
    }
    below += n;
  }
  return static_cast<double>(Histogram::upper_bound(Histogram::bucket_count - 1));
}

Sample& Scrape::add(Family family, MetricType type, Labels labels) {
  const FamilyInfo& about = info(family);
  check(about.type == type, "a sample of the wrong type");
  check(about.labels().size() == labels.size(), "a sample with the wrong number of labels");
  auto* values = arena_.allocate_array<std::string_view>(labels.size());
  std::size_t i = 0;
  for (const std::string_view text : labels) new (&values[i++]) std::string_view(arena_.copy(text));
  samples_.push_back(
      {family, {values, labels.size()}, 0, nullptr, admitted_ ? std::uint8_t{0} : rank_of(about)});
  return samples_.back();
}

void Scrape::counter(Family family, Labels labels, double value) {
  add(family, MetricType::counter, labels).value = value;
}

void Scrape::gauge(Family family, Labels labels, double value) {
  add(family, MetricType::gauge, labels).value = value;
}

void Scrape::histogram(Family family, Labels labels, const Histogram& cells) {
  Sample& sample = add(family, MetricType::histogram, labels);
  void* at = arena_.allocate(sizeof(HistogramValue), alignof(HistogramValue));
  sample.histogram = new (at) HistogramValue;
  sample.histogram->add(cells);
}

std::uint64_t Scrape::finish(std::uint64_t lines_max) {
  std::ranges::stable_sort(samples_, [](const Sample& a, const Sample& b) {
    if (a.family != b.family) return a.family < b.family;
    return std::ranges::lexicographical_compare(a.labels, b.labels);
  });
  merge();
  lines_ = 0;
  for (const Sample& sample : samples_) lines_ += sample.rank == 0 ? lines_of(sample) : 0;
  std::uint64_t left_out = 0;
  for (std::uint8_t rank = 1; rank <= rank_max; ++rank) {
    std::erase_if(samples_, [&](const Sample& sample) {
      if (sample.rank != rank) return false;
      const bool fits = lines_ + lines_of(sample) <= lines_max;
      (fits ? lines_ : left_out) += lines_of(sample);
      return !fits;
    });
  }
  return left_out;
}

void Scrape::merge() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    if (kept > 0 && same_series(samples_[kept - 1], samples_[i])) {
      Sample& into = samples_[kept - 1];
      into.value += samples_[i].value;
      if (into.histogram != nullptr) into.histogram->add(*samples_[i].histogram);
    } else {
      samples_[kept++] = samples_[i];
    }
  }
  samples_.resize(kept);
}

}  // namespace outrigger::telemetry
