// Ownership and lifetime: pins, weak references, recycled storage, non-owning lists.

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/intrusive_list.h"
#include "base/pin.h"
#include "base/recycled.h"
#include "base/weak_ref.h"

namespace outrigger {
namespace {

// --- Pin -----------------------------------------------------------------------------------------

struct PinTest : testing::Test {
  Pin<std::string> make(const std::string& text) {
    return Pin<std::string>(std::make_shared<const std::string>(text),
                            [this](std::shared_ptr<const std::string> value) {
                              released.push_back(*value);
                              EXPECT_EQ(value.use_count(), 1);
                            });
  }
  std::vector<std::string> released;
};

TEST_F(PinTest, the_last_one_hands_the_value_over) {
  Pin<std::string> first = make("value");
  {
    Pin<std::string> second = first;
    Pin<std::string> third;
    EXPECT_FALSE(third);
    third = second;
    first = {};
    EXPECT_FALSE(first);
    EXPECT_EQ(*third, "value");
    EXPECT_EQ(third->size(), 5U);
    EXPECT_TRUE(released.empty());
  }
  EXPECT_EQ(released, std::vector<std::string>{"value"});
}

TEST_F(PinTest, a_move_leaves_nothing_behind) {
  Pin<std::string> first = make("value");
  Pin<std::string> second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_TRUE(second);
  EXPECT_TRUE(released.empty());
  second = make("other");
  EXPECT_EQ(released, std::vector<std::string>{"value"});
}

TEST_F(PinTest, assigning_it_to_itself_changes_nothing) {
  Pin<std::string> pin = make("value");
  Pin<std::string>& same = pin;
  pin = same;
  EXPECT_EQ(*pin, "value");
  EXPECT_TRUE(released.empty());
}

TEST_F(PinTest, without_somebody_to_release_to_the_value_just_dies) {
  auto value = std::make_shared<const std::string>("value");
  const std::weak_ptr<const std::string> watch = value;
  Pin<std::string> pin(std::move(value), {});
  EXPECT_FALSE(watch.expired());
  pin = {};
  EXPECT_TRUE(watch.expired());
}

// --- WeakRef -------------------------------------------------------------------------------------

struct Target {
  int value = 7;
  WeakAnchor<Target> anchor{*this};
};

TEST(WeakRefTest, learns_of_its_targets_death) {
  WeakRef<Target> ref;
  EXPECT_EQ(ref.get(), nullptr);
  {
    Target target;
    ref = target.anchor.ref();
    const WeakRef<Target> copy = ref;
    EXPECT_EQ(ref.get(), &target);
    EXPECT_EQ(copy.get()->value, 7);
  }
  EXPECT_EQ(ref.get(), nullptr);
}

// --- Recycled ------------------------------------------------------------------------------------

struct Thing final : Recycled<Thing> {
  explicit Thing(int n) : number(n) {}
  int number;
};

TEST(RecycledTest, what_was_freed_is_used_again) {
  auto first = std::make_unique<Thing>(1);
  const void* memory = first.get();
  first.reset();
  auto second = std::make_unique<Thing>(2);
  EXPECT_EQ(second.get(), memory);
  EXPECT_EQ(second->number, 2);
  auto third = std::make_unique<Thing>(3);
  EXPECT_NE(third.get(), memory);
}

TEST(RecycledTest, no_two_live_things_share_memory_and_only_so_much_is_kept) {
  std::vector<std::unique_ptr<Thing>> things;
  std::set<const void*> places;
  for (std::size_t round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < Thing::kept_max + 100; ++i)
      things.push_back(std::make_unique<Thing>(1));
    for (const auto& thing : things) places.insert(thing.get());
    EXPECT_GE(places.size(), things.size());
    things.clear();
  }
}

// --- IntrusiveList -------------------------------------------------------------------------------

struct Tag {};
struct Node : ListLink<Node>, ListLink<Tag> {
  explicit Node(int n) : number(n) {}
  int number;
};

template <typename List>
std::vector<int> numbers(List& list) {
  std::vector<int> all;
  for (Node& node : list) all.push_back(node.number);
  return all;
}

struct ListTest : testing::Test {
  Node one{1}, two{2}, three{3};
  IntrusiveList<Node> list;
};

TEST_F(ListTest, keeps_the_order_and_gives_it_back) {
  EXPECT_TRUE(list.empty());
  list.push_back(two);
  list.push_back(three);
  list.push_front(one);
  EXPECT_EQ(numbers(list), (std::vector{1, 2, 3}));
  EXPECT_EQ(list.size(), 3U);
  EXPECT_EQ(list.front().number, 1);
  EXPECT_EQ(list.back().number, 3);
  EXPECT_EQ(list.pop_back().number, 3);
  EXPECT_EQ(list.pop_front().number, 1);
  EXPECT_EQ(numbers(list), std::vector{2});
}

TEST_F(ListTest, an_element_leaves_from_anywhere) {
  for (Node* node : {&one, &two, &three}) list.push_back(*node);
  ListLink<Node>& link = two;
  EXPECT_TRUE(link.linked());
  link.unlink();
  link.unlink();
  EXPECT_FALSE(link.linked());
  EXPECT_EQ(numbers(list), (std::vector{1, 3}));
  list.push_back(two);
  EXPECT_EQ(numbers(list), (std::vector{1, 3, 2}));
}

TEST_F(ListTest, an_element_that_dies_leaves_its_list) {
  list.push_back(one);
  {
    Node dying(9);
    list.push_back(dying);
    list.push_back(two);
  }
  EXPECT_EQ(numbers(list), (std::vector{1, 2}));
}

TEST_F(ListTest, a_list_that_dies_lets_its_elements_go) {
  {
    IntrusiveList<Node> dying;
    dying.push_back(one);
    dying.push_back(two);
  }
  list.push_back(one);
  EXPECT_EQ(numbers(list), std::vector{1});
}

TEST_F(ListTest, one_element_may_be_in_several_lists) {
  IntrusiveList<Node, Tag> other;
  list.push_back(one);
  list.push_back(two);
  other.push_back(two);
  other.push_back(one);
  EXPECT_EQ(numbers(list), (std::vector{1, 2}));
  EXPECT_EQ(numbers(other), (std::vector{2, 1}));
  static_cast<ListLink<Tag>&>(two).unlink();
  EXPECT_EQ(numbers(list), (std::vector{1, 2}));
  EXPECT_EQ(numbers(other), std::vector{1});
}

TEST_F(ListTest, take_all_moves_them_behind_what_is_there) {
  IntrusiveList<Node> other;
  list.push_back(one);
  other.push_back(two);
  other.push_back(three);
  list.take_all(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(numbers(list), (std::vector{1, 2, 3}));
}

TEST_F(ListTest, an_element_may_go_once_the_iterator_has_moved_on) {
  for (Node* node : {&one, &two, &three}) list.push_back(*node);
  for (auto at = list.begin(); at != list.end();) {
    Node& node = *at;
    ++at;
    if (node.number != 2) static_cast<ListLink<Node>&>(node).unlink();
  }
  EXPECT_EQ(numbers(list), std::vector{2});
}

using ListDeathTest = ListTest;
TEST_F(ListDeathTest, what_must_not_be_asked_ends_the_process) {
  EXPECT_DEATH(list.front(), "empty list");
  list.push_back(one);
  EXPECT_DEATH(list.push_back(one), "in a list already");
}

}  // namespace
}  // namespace outrigger
