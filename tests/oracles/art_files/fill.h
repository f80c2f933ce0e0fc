// Fills the classes of classes.h with numbers that tell event, item and member apart.
#pragma once
#include "classes.h"

#include <cmath>
#include <cstdio>

namespace fill {
  inline zoo::Plain plain(int seed) { return {seed, seed / 8.0}; }

  inline void animal(zoo::Animal& a, int event, int item) {
    const int s = 100 * event + 10 * item;
    const int n = item % 3;  // lengths of the collections: some are empty
    a.level = static_cast<short>(-s);
    a.name = item == 2 ? std::string(300, 'x') : item == 1 ? "" : "animal " + std::to_string(s);
    a.byte = static_cast<unsigned char>(200 + item);
    a.shorts.assign(n, static_cast<short>(s));
    a.flag = item % 2;
    a.letter = static_cast<char>('a' + item);
    a.big = -5000000000L - s;
    a.bigger = 18000000000000000000ULL + s;
    a.colour = item % 3 == 0 ? zoo::red : item % 3 == 1 ? zoo::green : zoo::blue;
    for (int i = 0; i < 3; ++i) a.row[i] = s + i / 4.0f;
    for (int i = 0; i < 6; ++i) a.matrix[i / 3][i % 3] = s + i;
    for (int i = 0; i < 4; ++i) a.fixed[i] = -s - i / 8.0f;
    a.plain32 = s / 3.0;
    a.ranged32 = (s % 90) / 9.0;
    a.mantissa32 = -s / 3.0;
    a.half = s / 7.0f;
    a.plain16 = -s / 7.0f;
    a.angle16 = static_cast<float>(std::sin(s));
    a.spread32[0] = std::cos(s);
    a.spread32[1] = -4.75;
    a.plain = plain(s + 1);
    a.plains[0] = plain(s + 2);
    a.plains[1] = plain(s + 3);
    for (int i = 0; i < n; ++i) {
      a.herd.push_back(plain(s + 10 + i));
      a.nested.emplace_back(i, s + i / 2.0f);
      a.herds.emplace_back(i + 1, plain(s + 20 + i));
      a.words.push_back("word" + std::to_string(s + i));
      a.colours.push_back(i ? zoo::blue : zoo::green);
      a.bits.push_back(i == 0);
      a.corners.push_back({s + i + 0.5f, -1.0f * i});
      a.many32.push_back(s / 16.0 + i);
      a.doubles.push_back(s * 1e10 + i);
      a.deque.push_back(static_cast<unsigned short>(40000 + i));
      a.longs.insert(-7000000000L * i + s);
      a.texts[s + i] = "text" + std::to_string(i);
      a.lists["list" + std::to_string(i)] = std::vector<int>(i, s);
      a.plain_by_number[i] = plain(s + 30 + i);
      a.named.emplace_back("name" + std::to_string(i), plain(s + 40 + i));
      a.tracks.emplace_back(i, std::vector<float>(2 * i, s + 0.25f));
      a.maps.push_back({{i, s + 0.5f}});
      a.herd_by_number[i] = std::vector<zoo::Plain>(i, plain(s + 50 + i));
      zoo::Base base;
      base.level = static_cast<short>(s + i);
      base.name = "base" + std::to_string(i);
      a.bases.push_back(base);
    }
    if (n) a.unordered[s] = s / 4.0f;
    a.size = item % 2 ? zoo::Size::large : zoo::Size::small;
    std::snprintf(a.label, sizeof a.label, "l%d", s);
    a.text = ("tstring " + std::to_string(s)).c_str();
    a.three = {s, s / 2.0f, "three" + std::to_string(s)};
    a.two = {s, s / 2.0f};
  }

  inline void wires(std::vector<recob::Wire>& wires, int event) {
    for (int w = 0; w < 4 * event; ++w) {
      recob::Wire wire;
      wire.fChannel = 2400 * (w % 3) + w;
      wire.fView = static_cast<geo::View>(w % 3);
      wire.fSignalROI.nominal_size = 6400;
      for (int r = 0; r < w % 4; ++r) {  // a wire may have no ROI, a ROI no samples
        lar::sparse_vector<float>::datarange_t range;
        range.offset = 100 * r + w;
        range.last = range.offset + 3 * r;
        for (int i = 0; i < 3 * r; ++i) range.values.push_back(event + w / 4.0f + i / 16.0f);
        wire.fSignalROI.ranges.push_back(range);
      }
      wires.push_back(wire);
    }
  }

  inline void hits(std::vector<recob::Hit>& hits, int event) {
    for (int h = 0; h < 5 * event; ++h) {
      recob::Hit hit;
      const float f = event + h / 8.0f;
      hit.fChannel = 100 * event + h;
      hit.fStartTick = 10 * h;
      hit.fEndTick = 10 * h + 7;
      hit.fPeakTime = f + 1;
      hit.fSigmaPeakTime = f + 2;
      hit.fRMS = f + 3;
      hit.fPeakAmplitude = f + 4;
      hit.fSigmaPeakAmplitude = f + 5;
      hit.fSummedADC = f + 6;
      hit.fIntegral = f + 7;
      hit.fSigmaIntegral = f + 8;
      hit.fMultiplicity = static_cast<short>(1 + h % 3);
      hit.fLocalIndex = static_cast<short>(h % 3);
      hit.fGoodnessOfFit = f + 9;
      hit.fNDF = h;
      hit.fView = static_cast<geo::View>(h % 3);
      hit.fSignalType = h % 3 == 2 ? geo::kCollection : geo::kInduction;
      if (h % 4 != 3) {  // every fourth hit has no valid wire
        hit.fWireID.isValid = true;
        hit.fWireID.Cryostat = 0;
        hit.fWireID.TPC = h % 2;
        hit.fWireID.Plane = h % 3;
        hit.fWireID.Wire = h;
      }
      hits.push_back(hit);
    }
  }

  inline void points(std::vector<recob::SpacePoint>& points, int event) {
    for (int p = 0; p < 2 * event; ++p) {
      recob::SpacePoint point;
      point.fID = p + 10;
      for (int i = 0; i < 3; ++i) point.fXYZ[i] = event + p / 4.0 + i * 100;
      for (int i = 0; i < 6; ++i) point.fErrXYZ[i] = p + i / 8.0;
      point.fChisq = p / 2.0;
      points.push_back(point);
    }
  }

  inline void clusters(std::vector<recob::Cluster>& clusters, int event) {
    for (int c = 0; c < event; ++c) {
      recob::Cluster cluster;
      cluster.fNHits = 3 + c;
      float* arrays[] = {cluster.fEndWires, cluster.fSigmaEndWires, cluster.fEndTicks, cluster.fSigmaEndTicks,
                         cluster.fEndCharges, cluster.fAngles, cluster.fOpeningAngles, cluster.fChargeSum,
                         cluster.fChargeStdDev, cluster.fChargeAverage};
      for (int a = 0; a < 10; ++a)
        for (int i = 0; i < 2; ++i) arrays[a][i] = 10.0f * a + i + c / 4.0f;
      cluster.fMultipleHitDensity = 0.5f + c;
      cluster.fWidth = 0.25f + c;
      cluster.fID = 70 + c;
      cluster.fView = static_cast<geo::View>(c % 3);
      if (c) {
        cluster.fPlaneID.isValid = true;
        cluster.fPlaneID.Cryostat = 0;
        cluster.fPlaneID.TPC = 1;
        cluster.fPlaneID.Plane = c % 3;
      }
      clusters.push_back(cluster);
    }
  }

  template <typename A>
  void links(A& assns, int n, unsigned int first, unsigned int second) {
    for (int i = 0; i < n; ++i) {
      assns.ptr_data_1_.push_back({{{first}}, static_cast<std::size_t>(n - 1 - i)});
      assns.ptr_data_2_.push_back({{{second}}, static_cast<std::size_t>(i / 2)});
    }
  }
}
