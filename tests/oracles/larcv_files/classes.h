// The classes of LArCV2 that hold sparse 3D tensors, member by member as the streamer infos of its files list them.
#pragma once
#include <string>
#include <vector>

namespace larcv {

enum DistanceUnit_t { kUnitMM, kUnitCM, kUnitM };

struct Point3D {
  double x = 0, y = 0, z = 0;
};

struct BBox3D {
  virtual ~BBox3D() = default;
  Point3D _p1, _p2;
};

struct Voxel3DMeta : BBox3D {
  bool _valid = true;
  unsigned long _num_element = 0;
  double _xlen = 0, _ylen = 0, _zlen = 0;
  unsigned long _xnum = 0, _ynum = 0, _znum = 0;
  DistanceUnit_t _unit = kUnitCM;
};

struct Voxel {
  unsigned long long _id = 0;
  float _value = 0;
};

struct VoxelSet {
  virtual ~VoxelSet() = default;
  unsigned short _id = 0;
  std::vector<larcv::Voxel> _voxel_v;
};

struct SparseTensor3D : VoxelSet {
  Voxel3DMeta _meta;
};

struct EventBase {
  virtual ~EventBase() = default;
  std::string _producer;
  unsigned long _run = 0, _subrun = 0, _event = 0;
};

struct EventSparseTensor3D : EventBase, SparseTensor3D {};

}  // namespace larcv
